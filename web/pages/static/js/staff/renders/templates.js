/** The sheets of an organization: made and changed in a dialog with a drawing, deleted after a question. */
import { Problem, get, send } from '../../core/api.js';
import { clearErrors, readForm, showProblem } from '../../core/form.js';
import { _ } from '../../core/i18n.js';
import { toast } from '../../core/toast.js';
import { confirmed } from '../dialogs.js';
import { replaceFragment } from '../fragment.js';
import { drawSheet } from './sheets.js';

const byId = (id) => /** @type {any} */ (document.getElementById(id));
const dialog = /** @type {HTMLDialogElement} */ (byId('template-dialog'));
const form = /** @type {HTMLFormElement} */ (byId('template-form'));
const path = `/api/organizations/${dialog.dataset.orgId}/label-templates`;
const heading = byId('template-heading');
/** Path of the template that the dialog changes; empty: it makes a new one. */
let changed = '';

const draw = () => byId('template-preview').replaceChildren(drawSheet(readForm(form)));

function open(template) {
  changed = template ? `${path}/${template.id}` : '';
  form.reset();
  clearErrors(form);
  heading.textContent = template ? _('Edit sheet') : _('Custom sheet');
  for (const [name, value] of Object.entries(template ?? {})) {
    const input = form.elements.namedItem(name);
    if (input instanceof HTMLInputElement) input.value = String(value);
  }
  draw();
  dialog.showModal();
}

/** Load the cards again, and choose the one of this id. */
async function reload(id) {
  await replaceFragment(location.pathname, 'templates');
  const cards = /** @type {HTMLInputElement[]} */ ([...document.querySelectorAll('#templates input')]);
  const card = cards.find((input) => input.value === id) ?? cards[0];
  card.checked = true;
  card.dispatchEvent(new Event('input', { bubbles: true }));
  card.focus();
}

async function save(event) {
  event.preventDefault();
  clearErrors(form);
  const button = /** @type {HTMLElement} */ (form.querySelector('[type=submit]'));
  if (button.getAttribute('aria-busy') === 'true') return;
  button.setAttribute('aria-busy', 'true');
  try {
    const { content } = await send(changed ? 'PUT' : 'POST', changed || path, { body: readForm(form) });
    dialog.close();
    await reload(content.id);
    toast(_('Saved'));
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    showProblem(form, error, error.status === 409 ? _('Another sheet has this name, or there are 100 sheets.') : undefined);
  } finally {
    button.removeAttribute('aria-busy');
  }
}

async function remove({ id, name }) {
  const isSure = await confirmed({ heading: _('Delete %(name)s?', { name }), text: _('Renders that were started with it go on.'), action: _('Delete sheet'), danger: true });
  if (!isSure) return;
  await send('DELETE', `${path}/${id}`);
  await reload('');
}

export function bindTemplates() {
  form.noValidate = true;
  form.addEventListener('submit', save);
  form.addEventListener('input', draw);
  byId('new-template').addEventListener('click', () => open(null));
  document.addEventListener('click', async (event) => {
    const target = /** @type {Element} */ (event.target);
    const card = /** @type {HTMLElement | null} */ (target.closest('.sheet-card'));
    if (!card) return;
    try {
      if (target.closest('[data-edit-template]')) open(await get(`${path}/${card.dataset.id}`));
      if (target.closest('[data-delete-template]')) await remove(/** @type {any} */ (card.dataset));
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      toast(error.message);
    }
  });
}
