/** The editor of a code: it says in a sentence what the code does, and saves what changed. */
import { Problem, get } from '../core/api.js';
import { bindForm } from '../core/form.js';
import { _, ngettext } from '../core/i18n.js';
import '../core/passwords.js';
import { toast, toastNext } from '../core/toast.js';
import { changes, field, fillFields, readCode } from '../staff/editor/fields.js';
import { bindLocation } from '../staff/editor/location.js';
import { bindPuzzle } from '../staff/editor/puzzle.js';
import { describe } from '../staff/editor/sentence.js';
import { bindTags } from '../staff/editor/tag-field.js';

const TYPING_MS = 200;
/** A letter that looks like a digit beside a digit, or the other way around. */
const LOOK_ALIKES = /[OlI](?=\d)|(?<=\d)[OlI]|(?<=[A-Za-z])[01](?=[A-Za-z])/;
const form = /** @type {HTMLFormElement} */ (document.getElementById('code-form'));
const { api, id, code } = JSON.parse(document.getElementById('code').textContent);
const base = document.body.dataset.base;
const sentence = document.getElementById('sentence');
const state = document.getElementById('save-state');
let saved = code;
let isLeaving = false;
/** @type {string[]} fields of the last request */
let sent = [];

fillFields(form, code);
bindPuzzle(form, code.encounter?.data ?? {});
bindTags(/** @type {HTMLElement} */ (document.getElementById('tag-field')), code.tags, api, refresh);
form.addEventListener('input', refresh);
form.addEventListener('change', refresh);
bindDestination();
refresh();
bindLocation(form, { api, codeId: id, onChange: refresh });

const created = ({ id: made, code: text }) => {
  isLeaving = true;
  toastNext(_('Code %(code)s created', { code: text }));
  location.assign(`${base}/codes/${made}`);
};
const updated = (stored) => {
  // A puzzle has an id, which clients do not set.
  delete stored.encounter?.id;
  // What others changed meanwhile is not in this form, so it must not be sent with the next change.
  saved = { ...saved, ...Object.fromEntries(sent.map((name) => [name, stored[name]])) };
  field(form, 'code').value = stored.code;
  document.querySelector('h1').textContent = stored.code;
  refresh();
  toast(_('Saved'), [
    [_('View'), `${base}/codes/${id}`],
    [_('Design'), `${base}/codes/${id}/design`],
    ...(stored.rotating ? [] : [/** @type {[string, string]} */ ([_('Print'), `${api}/${id}/image?format=pdf&size=600`])]),
  ]);
};
bindForm(form, {
  path: id ? `${api}/${id}` : api,
  method: id ? 'PATCH' : 'POST',
  idempotent: !id,
  read: () => {
    document.getElementById('problems').hidden = true;
    const body = readCode(form, saved);
    sent = Object.keys(changes(body, saved));
    return id ? changes(body, saved) : Object.fromEntries(Object.entries(body).filter(([name, value]) => value !== null || name === 'scan_type' || name === 'per_player_limit'));
  },
  onSuccess: id ? updated : created,
  onProblem: showProblems,
});
addEventListener('beforeunload', (event) => {
  if (!isLeaving && isChanged()) event.preventDefault();
});

/** Show the sentence, the fields of the chosen type, and whether there is something to save. */
function refresh() {
  const type = field(form, 'scan_type').value;
  for (const part of form.querySelectorAll('[data-for]')) /** @type {HTMLElement} */ (part).hidden = !part.getAttribute('data-for').split(' ').includes(type || 'link');
  field(form, 'per_player_limit').closest('.field').hidden = field(form, 'limit').value !== 'number';
  field(form, 'rotation_seconds').closest('.field').hidden = !field(form, 'rotating').checked;
  document.getElementById('look-alikes').hidden = !LOOK_ALIKES.test(field(form, 'code').value);
  const body = readOrNull();
  if (body) sentence.textContent = describe(body);
  state.textContent = isChanged() ? _('Not saved yet') : '';
}

function readOrNull() {
  try {
    return readCode(form, saved);
  } catch (error) {
    if (error instanceof Problem) return null;
    throw error;
  }
}

function isChanged() {
  const body = readOrNull();
  return !body || Object.keys(changes(body, saved)).length > 0;
}

/** Name the fields that need a change above the form, with a link to each; 409: suggest another text. */
function showProblems(problem) {
  if (problem.status === 409 && field(form, 'code').value && field(form, 'code').value !== saved.code) {
    const error = document.getElementById('code-error');
    error.textContent = _('That code is taken. Try %(code)s.', { code: nextText(field(form, 'code').value) });
    field(form, 'code').setAttribute('aria-invalid', 'true');
    form.querySelector('.form-error').setAttribute('hidden', '');
    field(form, 'code').focus();
    return;
  }
  const invalid = /** @type {HTMLElement[]} */ ([...form.querySelectorAll('[aria-invalid=true]')]);
  if (!invalid.length) return;
  const box = document.getElementById('problems');
  const list = box.querySelector('ul');
  box.querySelector('strong').textContent = ngettext('%(num)s field needs a change:', '%(num)s fields need a change:', invalid.length);
  list.replaceChildren(...invalid.map((input) => {
    const link = document.createElement('a');
    const label = form.querySelector(`label[for="${input.id}"]`)?.textContent ?? input.id;
    Object.assign(link, { href: `#${input.id}`, textContent: label });
    const item = document.createElement('li');
    item.append(link);
    return item;
  }));
  for (const details of form.querySelectorAll('details:has([aria-invalid=true])')) details.setAttribute('open', '');
  box.hidden = false;
  box.focus();
}

/** spy123 → spy124, gate → gate-2 @param {string} text */
function nextText(text) {
  const [, start, digits] = /^(.*?)(\d*)$/.exec(text);
  return (digits ? start + String(Number(digits) + 1).padStart(digits.length, '0') : `${start.slice(0, 62)}-2`).slice(0, 64);
}

/** Suggest codes of the organization, by a part of their text or description. */
function bindDestination() {
  const input = /** @type {HTMLInputElement} */ (field(form, 'destination_code'));
  let timer = 0;
  const load = async () => {
    const { items } = await get(`${api}?${new URLSearchParams({ q: input.value.trim(), limit: '20' })}`).catch(() => ({ items: [] }));
    const options = items.filter((each) => each.id !== id).map((each) => Object.assign(document.createElement('option'), { value: each.code, label: each.description.slice(0, 60) }));
    input.list.replaceChildren(...options);
  };
  input.addEventListener('focus', load, { once: true });
  input.addEventListener('input', () => {
    clearTimeout(timer);
    timer = setTimeout(load, TYPING_MS);
  });
}
