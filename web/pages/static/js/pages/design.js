/** The design of a code or of all codes: fields, presets and logo beside a live preview. */
import { Problem, send } from '../core/api.js';
import { clearErrors, showProblem } from '../core/form.js';
import { _ } from '../core/i18n.js';
import { toast } from '../core/toast.js';
import { isColor } from '../staff/contrast.js';
import { makePreview } from '../staff/design-preview.js';
import { confirmed } from '../staff/dialogs.js';

const MAX_LOGO_BYTES = 2 ** 20;
const NAMES = ['foreground_color', 'background_color', 'style', 'logo_size_percent'];
const form = /** @type {HTMLFormElement} */ (document.getElementById('design-form'));
const config = JSON.parse(document.getElementById('design').textContent);
const { api, code } = config;
const state = document.getElementById('save-state');
const byId = (id) => document.getElementById(id);
const input = (name) => /** @type {any} */ (form.elements.namedItem(name));
const submit = /** @type {HTMLButtonElement} */ (form.querySelector('[type=submit]'));
let stored = config.stored;
/** @type {File | null} */
let logo = null;
let isLogoRemoved = false;
let thumbnail = '';

const preview = makePreview(api, config.minContrast, code, (suggestion) => {
  for (const [name, value] of Object.entries(suggestion)) input(name).value = String(value);
  changed();
  input(Object.keys(suggestion)[0]).focus();
});
form.noValidate = true;
form.addEventListener('input', (event) => {
  const { dataset, value } = /** @type {HTMLInputElement} */ (event.target);
  if (dataset.picker) input(dataset.picker).value = value.toUpperCase();
  if ('slider' in dataset) input('logo_size_percent').value = value;
  if (/** @type {HTMLInputElement} */ (event.target).type !== 'file') changed();
});
for (const preset of /** @type {NodeListOf<HTMLElement>} */ (form.querySelectorAll('[data-preset]'))) {
  preset.addEventListener('click', () => fill({ ...stored, ...read(), foreground_color: preset.dataset.preset, background_color: '#FFFFFF', style: preset.dataset.style }));
}
byId('discard').addEventListener('click', () => {
  setLogo(null, false);
  fill(stored);
});
byId('reset').addEventListener('click', reset);
form.addEventListener('submit', save);
bindLogo();
setLogo(null, false);
fill(stored);
addEventListener('beforeunload', (event) => {
  if (isChanged()) event.preventDefault();
});

/** The fields as they are now. */
function read() {
  return {
    foreground_color: input('foreground_color').value.trim().toUpperCase(),
    background_color: input('background_color').value.trim().toUpperCase(),
    style: input('style').value,
    logo_size_percent: Number(input('logo_size_percent').value) || 0,
  };
}

function fill(design) {
  for (const name of NAMES) input(name).value = String(design[name]);
  clearErrors(form);
  changed();
}

/** Bring everything in line with the fields: pickers, preview, and whether there is something to save. */
function changed() {
  const design = read();
  for (const picker of /** @type {NodeListOf<HTMLInputElement>} */ (form.querySelectorAll('[data-picker]'))) {
    const color = design[picker.dataset.picker];
    if (isColor(color)) picker.value = color.toLowerCase();
  }
  /** @type {HTMLInputElement} */ (form.querySelector('[data-slider]')).value = String(design.logo_size_percent);
  byId('logo-size-field').hidden = !hasLogo();
  state.textContent = isChanged() ? _('Not saved yet') : '';
  if (!isColor(design.foreground_color) || !isColor(design.background_color)) return;
  preview.update(/** @type {any} */ ({ ...design, logo, remove_logo: isLogoRemoved && stored.has_logo, has_logo: hasLogo() }));
}

function hasLogo() {
  return Boolean(logo) || (stored.has_logo && !isLogoRemoved);
}

function isChanged() {
  const design = read();
  const isStyleChanged = NAMES.some((name) => String(design[name]).toUpperCase() !== String(stored[name]).toUpperCase());
  return isStyleChanged || Boolean(logo) || (isLogoRemoved && stored.has_logo);
}

/** @param {File | null} file @param {boolean} isRemoved */
function setLogo(file, isRemoved) {
  logo = file;
  isLogoRemoved = isRemoved;
  if (thumbnail) URL.revokeObjectURL(thumbnail);
  thumbnail = file ? URL.createObjectURL(file) : '';
  const image = /** @type {HTMLImageElement} */ (byId('logo-thumbnail'));
  image.hidden = !file;
  if (file) image.src = thumbnail;
  byId('logo-chosen').hidden = !hasLogo();
  byId('logo-name').textContent = file ? file.name : hasLogo() ? _('The logo that is in use') : '';
  if (!file) input('logo').value = '';
}

function bindLogo() {
  const drop = byId('logo-drop');
  const choose = (/** @type {File | undefined} */ file) => {
    if (!file) return;
    const error = byId('logo-error');
    error.textContent = '';
    if (!['image/png', 'image/jpeg'].includes(file.type)) error.textContent = _('Use a PNG or a JPEG.');
    else if (file.size > MAX_LOGO_BYTES) error.textContent = _('This file is larger than 1 MiB.');
    if (error.textContent) {
      input('logo').value = '';
      return;
    }
    setLogo(file, false);
    changed();
  };
  input('logo').addEventListener('change', () => choose(input('logo').files[0]));
  drop.addEventListener('dragover', (event) => {
    event.preventDefault();
    drop.classList.add('is-over');
  });
  drop.addEventListener('dragleave', () => drop.classList.remove('is-over'));
  drop.addEventListener('drop', (event) => {
    event.preventDefault();
    drop.classList.remove('is-over');
    choose(event.dataTransfer.files[0]);
  });
  byId('logo-remove').addEventListener('click', () => {
    setLogo(null, true);
    changed();
    input('logo').focus();
  });
}

async function save(event) {
  event.preventDefault();
  if (submit.getAttribute('aria-busy') === 'true') return;
  clearErrors(form);
  submit.setAttribute('aria-busy', 'true');
  try {
    await store();
    stored = (await send('GET', api)).content;
    setLogo(null, false);
    fill(stored);
    toast(_('Saved'), code ? [[_('View'), location.pathname.replace(/\/design$/, '')]] : []);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    showProblem(form, error);
  } finally {
    submit.removeAttribute('aria-busy');
  }
}

/** Colors and logo are two requests. If cameras cannot read what is stored between them, the other order follows. */
async function store() {
  const putStyle = () => send('PUT', api, { body: read() });
  const putLogo = () => {
    const body = new FormData();
    body.append('logo', /** @type {File} */ (logo));
    return send('PUT', `${api}/logo`, { body });
  };
  if (isLogoRemoved && stored.has_logo) await send('DELETE', `${api}/logo`);
  if (!logo) return putStyle();
  try {
    await putLogo();
    return await putStyle();
  } catch (error) {
    if (!(error instanceof Problem) || error.status !== 422) throw error;
    await putStyle();
    return putLogo();
  }
}

async function reset() {
  const text = code ? _('It gets the design of your organization. Its own colors and logo are removed.') : _('All codes without a design of their own become black on white. The logo is removed.');
  if (!(await confirmed({ heading: _('Reset to default?'), text, action: _('Reset'), danger: true }))) return;
  try {
    await send('DELETE', api);
    stored = (await send('GET', api)).content;
    setLogo(null, false);
    fill(stored);
    toast(_('Reset'));
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    showProblem(form, error);
  }
}
