/** Members: roles, leaving and removing, and invitations by link or by username. */
import { Problem, send } from '../core/api.js';
import { bindForm } from '../core/form.js';
import { _ } from '../core/i18n.js';
import { toast } from '../core/toast.js';
import { confirmed } from '../staff/dialogs.js';
import { bindRows } from '../staff/rows.js';

const DAY_MS = 86400000;
const page = /** @type {HTMLElement} */ (document.getElementById('page'));
const api = `/api/organizations/${page.dataset.org}`;
const form = /** @type {HTMLFormElement | null} */ (document.getElementById('invite-form'));

bindRows();

page.addEventListener('change', async (event) => {
  const select = /** @type {HTMLSelectElement} */ (event.target);
  if (!select.matches('[data-role]')) return;
  const { player, username } = rowOf(select);
  const before = /** @type {HTMLOptionElement} */ ([...select.options].find((option) => option.defaultSelected));
  try {
    const { response } = await send('PATCH', `${api}/members/${player}`, { body: { role: select.value } });
    if (response.status === 202) {
      select.value = before.value;
      toast(_('%(username)s is asked to become an owner.', { username }));
      return;
    }
    [...select.options].forEach((option) => (option.defaultSelected = option.selected));
    toast(_('Saved'));
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    select.value = before.value;
    toast(error.message);
  }
});

page.addEventListener('click', async (event) => {
  const target = /** @type {HTMLElement} */ (event.target);
  if (target.closest('[data-leave]')) {
    const answer = await confirmed({
      heading: _('Leave this organization?'),
      text: _('You need an invitation to come back.'),
      action: _('Leave organization'),
      danger: true,
    });
    if (answer) await act(target, `${api}/members/${rowOf(target).player}`, () => location.assign('/o'));
  } else if (target.closest('[data-remove]')) {
    const { player, username, row } = rowOf(target);
    const answer = await confirmed({
      heading: _('Remove %(username)s?', { username }),
      text: _('They lose access at once, and their open invitations end.'),
      action: _('Remove'),
      danger: true,
    });
    if (answer) await act(target, `${api}/members/${player}`, () => row.remove());
  } else if (target.closest('[data-revoke]')) {
    const item = /** @type {HTMLElement} */ (target.closest('[data-invitation]'));
    await act(target, `${api}/invitations/${item.dataset.invitation}`, () => item.remove());
  }
});

/** Delete something, and then go on. */
async function act(button, path, done) {
  button.setAttribute('aria-busy', 'true');
  try {
    await send('DELETE', path);
    done();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    toast(error.message);
  } finally {
    button.removeAttribute('aria-busy');
  }
}

/** @param {Element} element */
function rowOf(element) {
  const row = /** @type {HTMLElement} */ (element.closest('[data-player]'));
  return { row, player: row.dataset.player, username: String(row.dataset.username) };
}

if (form) {
  const fields = /** @type {any} */ (form.elements);
  const show = () => form.querySelectorAll('[data-how]').forEach((part) => part.toggleAttribute('hidden', /** @type {HTMLElement} */ (part).dataset.how !== fields.how.value));
  form.addEventListener('change', show);
  bindForm(form, {
    path: `${api}/invitations`,
    idempotent: true,
    read: () => ({
      role: fields.role.value,
      expires_at: new Date(Date.now() + Number(fields.days.value) * DAY_MS - 60000).toISOString(),
      ...(fields.how.value === 'link' ? { uses: Number(fields.uses.value) } : { username: fields.username.value }),
    }),
    messages: { 409: (problem) => problem.message },
    onSuccess: (invitation) => {
      /** @type {HTMLDialogElement} */ (document.getElementById('invite')).close();
      if (invitation.username) location.reload();
      else showLink(new URL(invitation.url, location.href).href, invitation.qr_svg);
    },
  });
}

/** Show the address of a link: only now, because the server stores no more than its digest. @param {string} address @param {string} svg */
function showLink(address, svg) {
  const dialog = /** @type {HTMLDialogElement} */ (document.getElementById('link'));
  /** @type {HTMLElement} */ (document.getElementById('link-text')).textContent = address;
  /** @type {HTMLImageElement} */ (document.getElementById('link-image')).src = URL.createObjectURL(new Blob([svg], { type: 'image/svg+xml' }));
  /** @type {HTMLElement} */ (document.getElementById('copy-link')).onclick = async () => {
    await navigator.clipboard?.writeText(address);
    toast(_('Copied'));
  };
  dialog.addEventListener('close', () => location.reload(), { once: true });
  dialog.showModal();
}
