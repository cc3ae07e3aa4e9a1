/** The page of a printed code: one button. Nothing happens before it is tapped. */
import { _ } from '../core/i18n.js';
import { checkIn, interrupted } from './flow.js';
import { flush, get, keepFlushing, onChange } from './outbox.js';
import { showResultHere } from './result-here.js';
import { keepUpToDate } from './updates.js';

const IN_APP = /FBAN|FBAV|Instagram|Line\/|MicroMessenger|Snapchat|TikTok|musical_ly|Twitter|LinkedInApp/;

const root = document.getElementById('check-in');
const button = /** @type {HTMLButtonElement | null} */ (document.getElementById('check-in-button'));
const line = /** @type {HTMLElement} */ (document.getElementById('check-in-status'));
const saved = /** @type {HTMLElement} */ (document.getElementById('check-in-saved'));

if (root && button) start(root.dataset.code || '', root.querySelector('h1')?.textContent || '', root.dataset.located === 'true', button);

/** @param {string} qrCode @param {string} description @param {boolean} located @param {HTMLButtonElement} tapped */
async function start(qrCode, description, located, tapped) {
  tapped.addEventListener('click', async () => {
    if (tapped.getAttribute('aria-busy') === 'true') return;
    tapped.setAttribute('aria-busy', 'true');
    let hasResult = false;
    const onResult = (nonce) => {
      hasResult = true;
      showResultHere(nonce);
    };
    const scan = await checkIn({ qrCode, description, located, onStatus: show, onResult }).catch(explainFailure);
    if (!scan) tapped.removeAttribute('aria-busy');
    else if (!hasResult) waitForConnection(scan.nonce, tapped);
  });
  // Back from the result: the page is as it was opened.
  const reset = () => {
    tapped.removeAttribute('aria-busy');
    tapped.hidden = false;
    saved.hidden = true;
    show('');
  };
  addEventListener('popstate', reset);
  addEventListener('pageshow', (event) => event.persisted && reset());
  if (IN_APP.test(navigator.userAgent)) offerBrowser();
  else if (located && !isSecureContext) show(_('Location and camera need a secure connection (https).'));
  const [arrival] = /** @type {PerformanceNavigationTiming[]} */ (performance.getEntriesByType('navigation'));
  const scan = arrival?.type === 'back_forward' ? null : await interrupted(qrCode).catch(() => null);
  if (scan) await showResultHere(scan.nonce);
  keepFlushing();
  keepUpToDate();
}

/** @param {string} text */
function show(text) {
  line.textContent = text;
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
  saved.hidden = false;
  show('');
  const stop = onChange(async () => {
    if (!['sent', 'settled', 'refused'].includes((await get(nonce))?.state ?? '')) return;
    stop();
    showResultHere(nonce);
  });
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
