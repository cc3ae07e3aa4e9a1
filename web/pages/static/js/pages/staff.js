/** What every page of an organization does: menu, shortcuts, copy buttons, times, signing out and in again. */
import { send } from '../core/api.js';
import { _ } from '../core/i18n.js';
import { showTimes } from '../core/time.js';
import { showNextToast } from '../core/toast.js';
import { copyText } from '../staff/copy.js';
import { bindDialogs } from '../staff/dialogs.js';
import { bindKeys, shortcut, showShortcuts } from '../staff/keys.js';
import { bindSignedOut } from '../staff/signed-out.js';

const base = /** @type {string} */ (document.body.dataset.base);
const rail = /** @type {HTMLElement} */ (document.querySelector('.rail'));
const menu = /** @type {HTMLDialogElement} */ (document.getElementById('menu'));

// The server shows days and times of day in the zone of this browser.
document.cookie = `waymark_tz=${Intl.DateTimeFormat().resolvedOptions().timeZone}; Path=/; Max-Age=31536000; SameSite=Lax`;
showTimes();
bindDialogs();
bindSignedOut();
bindKeys();
showNextToast();

shortcut('?', _('Keyboard shortcuts'), showShortcuts);
const targets = /** @type {[string, string, string][]} */ ([
  ['g c', _('Codes'), '/codes'],
  ['g l', _('Live'), '/live'],
  ['g a', _('Analytics'), '/analytics'],
  ['g r', _('Review queue'), '/reviews'],
]);
for (const [keys, words, path] of targets) {
  // Only what is in the navigation: a role may not open the others.
  if (rail.querySelector(`a[href="${base}${path}"]`)) shortcut(keys, words, () => location.assign(base + path));
}
const search = /** @type {HTMLInputElement | null} */ (document.querySelector('input[type=search]'));
if (search) shortcut('/', _('Search'), () => search.focus());
const create = /** @type {HTMLElement | null} */ (document.querySelector('[data-new]'));
if (create) shortcut('n', create.textContent?.trim() || _('New'), () => create.click());

document.addEventListener('click', async (event) => {
  const target = /** @type {Element} */ (event.target);
  if (target.closest('[data-open-menu]')) menu.showModal();
  if (target.closest('[data-show-keys]')) showShortcuts();
  const copy = /** @type {HTMLElement | null} */ (target.closest('[data-copy]'));
  if (copy) await copyText(copy.dataset.copy ?? '');
  if (target.closest('[data-end-session]')) {
    await send('DELETE', '/session');
    location.assign('/sign-in');
  }
});
