/** API keys: create one, which is shown once, and revoke them. */
import { Problem, send } from '../core/api.js';
import { bindForm } from '../core/form.js';
import { _ } from '../core/i18n.js';
import { toast } from '../core/toast.js';
import { confirmed } from '../staff/dialogs.js';
import { bindRows } from '../staff/rows.js';

const DAY_MS = 86400000;
const rows = /** @type {HTMLElement} */ (document.getElementById('rows'));
const api = `/api/organizations/${rows.dataset.org}/api-keys`;
const form = /** @type {HTMLFormElement} */ (document.getElementById('create-form'));
const fields = /** @type {any} */ (form.elements);

bindRows();

fields.expiry.addEventListener('change', () => {
  document.getElementById('expiry-date')?.toggleAttribute('hidden', fields.expiry.value !== 'date');
});

bindForm(form, {
  path: api,
  idempotent: true,
  read: () => ({
    name: fields.name.value,
    scopes: [...form.querySelectorAll('[name=scopes]:checked')].map((box) => /** @type {HTMLInputElement} */ (box).value),
    expires_at: expiry(),
  }),
  messages: { 409: (problem) => problem.message },
  onSuccess: ({ key }) => {
    /** @type {HTMLDialogElement} */ (document.getElementById('create')).close();
    show(key);
  },
});

/** @returns {string | null} the end of the chosen day, in the time zone of the browser */
function expiry() {
  if (fields.expiry.value === '') return null;
  if (fields.expiry.value !== 'date') return new Date(Date.now() + Number(fields.expiry.value) * DAY_MS).toISOString();
  const end = new Date(`${fields.expires_at.value}T23:59:59`);
  return Number.isNaN(end.getTime()) ? '' : end.toISOString();
}

/** @param {string} key */
function show(key) {
  const dialog = /** @type {HTMLDialogElement} */ (document.getElementById('created'));
  /** @type {HTMLElement} */ (document.getElementById('key-text')).textContent = key;
  /** @type {HTMLElement} */ (document.getElementById('copy-key')).onclick = async () => {
    await navigator.clipboard?.writeText(key);
    toast(_('Copied'));
  };
  dialog.addEventListener('close', () => location.reload(), { once: true });
  dialog.showModal();
}

rows.addEventListener('click', async (event) => {
  const button = /** @type {Element} */ (event.target).closest('[data-revoke]');
  const row = /** @type {HTMLElement | null | undefined} */ (button?.closest('[data-key]'));
  if (!button || !row) return;
  const answer = await confirmed({
    heading: _('Revoke this key?'),
    text: _('Requests that use it will fail.'),
    action: _('Revoke'),
    danger: true,
  });
  if (!answer) return;
  try {
    await send('DELETE', `${api}/${row.dataset.key}`);
    row.remove();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    toast(error.message);
  }
});
