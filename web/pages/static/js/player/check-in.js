/** The page of a printed code: one button. Nothing happens before it is tapped. */
import { _ } from '../core/i18n.js';
import { checkIn, interrupted, showResult } from './flow.js';
import { flush, get, keepFlushing, onChange } from './outbox.js';
import { keepUpToDate } from './updates.js';

const IN_APP = /FBAN|FBAV|Instagram|Line\/|MicroMessenger|Snapchat|TikTok|musical_ly|Twitter|LinkedInApp/;

const root = document.getElementById('check-in');
const button = /** @type {HTMLButtonElement | null} */ (document.getElementById('check-in-button'));
const status = /** @type {HTMLElement} */ (document.getElementById('check-in-status'));

if (root && button) start(root.dataset.code || '', root.querySelector('h1')?.textContent || '', root.dataset.located === 'true', button);

/** @param {string} qrCode @param {string} description @param {boolean} located @param {HTMLButtonElement} tapped */
async function start(qrCode, description, located, tapped) {
  tapped.addEventListener('click', async () => {
    if (tapped.getAttribute('aria-busy') === 'true') return;
    tapped.setAttribute('aria-busy', 'true');
    const scan = await checkIn({ qrCode, description, located, onStatus: show }).catch(explainFailure);
    if (scan?.state === 'waiting') waitForConnection(scan.nonce, tapped);
    // Otherwise the result is about to replace this page.
    if (!scan) tapped.removeAttribute('aria-busy');
  });
  // Back from the result: the page is as it was left.
  addEventListener('pageshow', (event) => {
    if (!event.persisted) return;
    tapped.removeAttribute('aria-busy');
    show('');
  });
  if (IN_APP.test(navigator.userAgent)) offerBrowser();
  else if (located && !isSecureContext) show(_('Location and camera need a secure connection (https).'));
  const [arrival] = /** @type {PerformanceNavigationTiming[]} */ (performance.getEntriesByType('navigation'));
  const scan = arrival?.type === 'back_forward' ? null : await interrupted(qrCode).catch(() => null);
  if (scan) showResult(scan.nonce);
  else keepFlushing();
  keepUpToDate();
}

/** @param {string} text */
function show(text) {
  status.textContent = text;
}

/** A private window can refuse to store anything. @param {unknown} error */
function explainFailure(error) {
  console.warn(error);
  show(_('This browser could not store the scan. Try again, or open this page in another browser.'));
  return null;
}

/** Without a connection and without a service worker, the result appears as soon as the scan has been sent. */
function waitForConnection(nonce, tapped) {
  tapped.hidden = true;
  document.getElementById('check-in-saved')?.removeAttribute('hidden');
  show('');
  onChange(async () => ['sent', 'settled', 'refused'].includes((await get(nonce))?.state ?? '') && showResult(nonce));
  flush();
}

/** Browsers inside other apps often have neither location nor camera. */
function offerBrowser() {
  const banner = /** @type {HTMLElement} */ (document.getElementById('in-app'));
  const copy = /** @type {HTMLButtonElement} */ (banner.querySelector('button'));
  const open = /** @type {HTMLAnchorElement} */ (banner.querySelector('a'));
  banner.hidden = false;
  copy.addEventListener('click', async () => {
    if (!navigator.clipboard) return show(location.href);
    await navigator.clipboard.writeText(location.href);
    copy.textContent = _('Copied');
  });
  if (!/Android/.test(navigator.userAgent) || location.protocol !== 'https:') return;
  open.href = `intent://${location.host}${location.pathname}${location.search}#Intent;scheme=https;action=android.intent.action.VIEW;end`;
  open.hidden = false;
}
