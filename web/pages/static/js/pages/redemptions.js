/** Redemptions: filters in place, and the limits of an item in a dialog. */
import { bindForm } from '../core/form.js';
import { _ } from '../core/i18n.js';
import { toast } from '../core/toast.js';
import { replaceFragment } from '../staff/fragment.js';
import { bindRows } from '../staff/rows.js';

const dialog = /** @type {HTMLDialogElement} */ (document.getElementById('limits'));
const form = /** @type {HTMLFormElement} */ (dialog.querySelector('form'));
const fields = /** @type {any} */ (form.elements);
const heading = /** @type {HTMLElement} */ (document.getElementById('limits-heading'));
let item = '';

bindRows();

document.addEventListener('click', ({ target }) => {
  const row = /** @type {HTMLElement | null | undefined} */ (/** @type {Element} */ (target).closest('[data-edit]')?.closest('[data-item]'));
  if (!row) return;
  item = row.dataset.item ?? '';
  heading.textContent = _('Limits of %(item)s', { item: item.replaceAll('_', ' ') });
  fields.stock.value = row.dataset.stock;
  fields.expires_at.value = row.dataset.expires ? localTime(row.dataset.expires) : '';
  dialog.showModal();
});

bindForm(form, {
  path: () => `/api/organizations/${document.getElementById('items')?.dataset.org}/items/${encodeURIComponent(item)}`,
  method: 'PUT',
  read: () => ({
    stock: stock(fields.stock.value.trim()),
    expires_at: fields.expires_at.value ? new Date(fields.expires_at.value).toISOString() : null,
  }),
  messages: { 409: (problem) => problem.message },
  onSuccess: async () => {
    dialog.close();
    toast(_('Saved'));
    await replaceFragment(location.pathname + location.search, 'items');
  },
});

/** Return a number, or the text that is none, which the API names. @param {string} text */
const stock = (text) => (text === '' ? null : /^\d+$/.test(text) ? Number(text) : text);

/** Return a time as `<input type=datetime-local>` has it. @param {string} at */
function localTime(at) {
  const time = new Date(at);
  return new Date(time.getTime() - time.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
}
