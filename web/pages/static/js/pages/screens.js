/** Screens: create a link, whose address is shown once, and revoke it. */
import { Problem, send } from '../core/api.js';
import { bindForm } from '../core/form.js';
import { _ } from '../core/i18n.js';
import { toast } from '../core/toast.js';
import { confirmed } from '../staff/dialogs.js';
import { replaceFragment } from '../staff/fragment.js';
import { bindRows } from '../staff/rows.js';

const dialogOf = (id) => /** @type {HTMLDialogElement} */ (document.getElementById(id));
const codes = `/api/organizations/${document.getElementById('rows')?.dataset.org}/qr-codes`;
const form = /** @type {HTMLFormElement} */ (document.querySelector('#new-screen form'));
const code = /** @type {HTMLSelectElement} */ (form.elements.namedItem('code'));

bindRows();
bindForm(form, {
  path: () => `${codes}/${code.value}/screens`,
  idempotent: true,
  read: () => ({ name: /** @type {HTMLInputElement} */ (form.elements.namedItem('name')).value }),
  messages: { 409: (problem) => problem.message },
  onSuccess: ({ url, qr_svg: svg }) => {
    dialogOf('new-screen').close();
    form.reset();
    show(location.origin + url, svg);
  },
});

/** @param {string} address @param {string} svg its QR code */
function show(address, svg) {
  /** @type {HTMLElement} */ (document.getElementById('screen-address')).textContent = address;
  /** @type {HTMLImageElement} */ (document.getElementById('screen-image')).src = URL.createObjectURL(new Blob([svg], { type: 'image/svg+xml' }));
  /** @type {HTMLAnchorElement} */ (document.getElementById('open-screen')).href = address;
  /** @type {HTMLElement} */ (document.getElementById('copy-address')).onclick = async () => {
    await navigator.clipboard?.writeText(address);
    toast(_('Copied'));
  };
  const created = dialogOf('screen-created');
  created.addEventListener('close', () => replaceFragment(location.pathname, 'rows'), { once: true });
  created.showModal();
}

document.addEventListener('click', async ({ target }) => {
  const row = /** @type {HTMLElement | null | undefined} */ (/** @type {Element} */ (target).closest('[data-revoke]')?.closest('[data-screen]'));
  if (!row) return;
  const { name = '', screen, code: qrId } = row.dataset;
  const text = _('Its address stops working at once.');
  if (!(await confirmed({ heading: _('Revoke %(name)s?', { name }), text, action: _('Revoke'), danger: true }))) return;
  try {
    await send('DELETE', `${codes}/${qrId}/screens/${screen}`);
    toast(_('Revoked %(name)s.', { name }));
  } catch (problem) {
    // Another member has revoked it.
    if (!(problem instanceof Problem)) throw problem;
    if (problem.status !== 404) return toast(problem.message);
  }
  await replaceFragment(location.pathname, 'rows');
  /** @type {HTMLElement | null} */ (document.querySelector('[data-new]'))?.focus();
});

if (code.dataset.preset) dialogOf('new-screen').showModal();
