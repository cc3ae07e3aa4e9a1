/** Place codes: read one with the camera, find the position of the phone, and save it. Then the next one. */
import { Problem, post, send } from '../core/api.js';
import { clearErrors, showProblem } from '../core/form.js';
import { _ } from '../core/i18n.js';
import { icon } from '../core/icon.js';
import { codeInInput, codeInUrl } from '../player/code-text.js';
import { textsOf } from '../player/location-help.js';
import { platform } from '../player/locate.js';
import { html, mounts } from '../player/parts.js';
import { Viewfinder } from '../player/viewfinder.js';
import { collectFixes } from '../staff/fixes.js';
import { replaceFragment } from '../staff/fragment.js';

const finder = /** @type {HTMLElement} */ (document.getElementById('finder'));
const viewfinder = /** @type {HTMLElement} */ (document.getElementById('viewfinder'));
const paths = String(finder.dataset.codePaths).split(' ');
const mountCamera = mounts(() => html`<${Viewfinder} onText=${(text) => open(codeInUrl(text, paths) ?? text)} />`);
/** The positions that are saved. @type {() => import('../staff/fixes.js').Fix[]} */
let fixes = () => [];
let closeCamera = () => {};
let stopLocating = () => {};

document.getElementById('type-code')?.addEventListener('submit', (event) => {
  event.preventDefault();
  const typed = /** @type {HTMLInputElement} */ (document.getElementById('code')).value;
  open(codeInInput(typed, paths) ?? typed);
});
document.addEventListener('click', (event) => {
  if (/** @type {Element} */ (event.target).closest('[data-again]')) open('');
});
document.addEventListener('submit', (event) => {
  const form = /** @type {HTMLFormElement} */ (event.target);
  if (form.id !== 'place') return;
  event.preventDefault();
  save(form);
});
show();

/** Show the code with this text; without one, the camera. @param {string} text */
async function open(text) {
  history.replaceState(null, '', text ? `?${new URLSearchParams({ code: text })}` : location.pathname);
  await replaceFragment(location.pathname + location.search, 'found');
  show();
}

/** Start what the page needs now: the position of the phone for a code, else the camera. */
function show() {
  const form = /** @type {HTMLFormElement | null} */ (document.getElementById('place'));
  stopLocating();
  if (form) {
    closeCamera();
    closeCamera = () => {};
    locate(form);
    document.getElementById('found')?.focus();
  } else if (finder.hidden || !viewfinder.firstChild) {
    closeCamera();
    closeCamera = mountCamera(viewfinder);
  }
  finder.hidden = Boolean(form);
}

/** Show the position as it gets better. @param {HTMLFormElement} form */
function locate(form) {
  const [position, hint, steps] = ['[data-position]', '[data-hint]', '[data-steps]'].map((name) => /** @type {HTMLElement} */ (form.querySelector(name)));
  const button = /** @type {HTMLButtonElement} */ (form.querySelector('[type=submit]'));
  const collected = collectFixes({
    onFix(accuracy) {
      const meters = Math.round(accuracy);
      position.textContent = _('Your location is accurate to %(meters)s m', { meters });
      hint.textContent = _('The code will work within %(meters)s m. Stand still for a better location.', {
        meters: Math.max(Number(form.dataset.radius), Math.ceil(2 * accuracy)),
      });
      steps.hidden = true;
      button.disabled = false;
    },
    onProblem(kind) {
      const help = textsOf(kind, platform());
      position.textContent = help.title;
      hint.textContent = help.line;
      steps.replaceChildren(...help.steps.map((step) => Object.assign(document.createElement('li'), { textContent: step })));
      steps.hidden = !help.steps.length;
    },
  });
  fixes = collected.fixes;
  stopLocating = collected.stop;
}

/** @param {HTMLFormElement} form */
async function save(form) {
  const button = /** @type {HTMLButtonElement} */ (form.querySelector('[type=submit]'));
  if (button.getAttribute('aria-busy') === 'true') return;
  button.setAttribute('aria-busy', 'true');
  clearErrors(form);
  const { id, code, orgId } = form.dataset;
  const path = `/api/organizations/${orgId}/qr-codes/${id}`;
  const input = (/** @type {string} */ name) => /** @type {HTMLInputElement | null} */ (form.elements.namedItem(name));
  const description = /** @type {HTMLInputElement} */ (input('description'));
  try {
    if (description.value !== description.defaultValue) await send('PATCH', path, { body: { description: description.value } });
    const placed = await post(`${path}/place`, {
      fixes: fixes(),
      requires_location: input('requires_location')?.checked,
      activate: input('activate')?.checked ?? false,
    });
    list(placed, String(code));
    /** @type {HTMLInputElement} */ (document.getElementById('code')).value = '';
    await open('');
    finder.focus();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    showProblem(form, error);
  } finally {
    button.removeAttribute('aria-busy');
  }
}

/** Add a code to the list of those that were placed. @param {any} placed @param {string} code */
function list(placed, code) {
  const section = /** @type {HTMLElement} */ (document.getElementById('placed'));
  const item = document.createElement('li');
  item.className = 'list-item';
  const link = Object.assign(document.createElement('a'), { href: `${document.body.dataset.base}/codes/${placed.id}`, textContent: code, className: 'mono' });
  const main = document.createElement('span');
  main.className = 'list-main';
  const line = document.createElement('span');
  line.className = 'hint block';
  line.textContent = placed.description;
  main.append(link, line);
  const place = document.createElement('span');
  place.className = 'badge tone-ok';
  place.append(icon('check'), _('Accurate to %(meters)s m', { meters: Math.round(placed.accuracy_m) }));
  item.append(main, place);
  section.querySelector('.list')?.prepend(item);
  section.hidden = false;
  const status = document.getElementById('live-region');
  if (status) status.textContent = _('%(code)s is placed', { code });
}
