/** Dialogs: open, close, and a question that is answered by a button. */
import { _ } from '../core/i18n.js';

/**
 * Ask before something that cannot be undone. The answer is true only after a click on `action`.
 * @param {{heading: string, text?: string, action: string, danger?: boolean, typed?: string}} options `typed`: a text that must be typed first
 * @returns {Promise<boolean>}
 */
export function confirmed({ heading, text, action, danger = false, typed }) {
  const dialog = document.createElement('dialog');
  const title = element('h2', heading);
  title.id = 'confirm-heading';
  dialog.setAttribute('aria-labelledby', title.id);
  const form = document.createElement('form');
  form.method = 'dialog';
  form.className = 'stack';
  form.append(title);
  if (text) form.append(element('p', text));
  const yes = button(action, danger ? 'button button-danger' : 'button button-primary', 'yes');
  const no = button(_('Cancel'), 'button button-quiet', 'no');
  if (typed) {
    const label = element('label', _('Type %(text)s to confirm.', { text: typed }));
    const input = document.createElement('input');
    Object.assign(input, { className: 'input', id: 'confirm-text', autocomplete: 'off' });
    label.htmlFor = input.id;
    yes.disabled = true;
    input.addEventListener('input', () => (yes.disabled = input.value.trim() !== typed));
    form.append(label, input);
  }
  const row = document.createElement('div');
  row.className = 'row dialog-actions';
  row.append(yes, no);
  form.append(row);
  dialog.append(form);
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(dialog.returnValue === 'yes');
    });
  });
}

/** Buttons that open and close dialogs of the page: `data-open-dialog="id"` and `data-close-dialog`. */
export function bindDialogs() {
  document.addEventListener('click', (event) => {
    const target = /** @type {Element} */ (event.target);
    const opener = /** @type {HTMLElement | null} */ (target.closest('[data-open-dialog]'));
    if (opener) dialogOf(opener.dataset.openDialog).showModal();
    if (target.closest('[data-close-dialog]')) target.closest('dialog')?.close();
    // A click on the backdrop is one on the dialog itself.
    if (target instanceof HTMLDialogElement && target.open && isOutside(target, event)) target.close();
  });
}

/** @param {string | undefined} id */
const dialogOf = (id) => /** @type {HTMLDialogElement} */ (document.getElementById(String(id)));

/** @param {HTMLDialogElement} dialog @param {MouseEvent} event */
function isOutside(dialog, { clientX, clientY }) {
  const { left, right, top, bottom } = dialog.getBoundingClientRect();
  return clientX < left || clientX > right || clientY < top || clientY > bottom;
}

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

function button(text, className, value) {
  const made = /** @type {HTMLButtonElement} */ (element('button', text));
  Object.assign(made, { className, value });
  return made;
}
