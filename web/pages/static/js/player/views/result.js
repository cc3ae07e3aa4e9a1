/** The verdict of a scan: also of one that waits for a connection, for its check, or for an organizer. */
import { useEffect, useLayoutEffect, useRef, useState } from '../../../vendor/hooks.js';
import { send } from '../../core/api.js';
import { _ } from '../../core/i18n.js';
import { shortTime, weekdayTime } from '../../core/time.js';
import { toast } from '../../core/toast.js';
import { configuration } from '../flow.js';
import { NOWHERE, all, flush, get, meta, onChange, put, setMeta, settle, signedInPlayer, update } from '../outbox.js';
import { Contour, Icon, html, mounts } from '../parts.js';
import { currentPlayer } from '../session.js';
import { verdictOf } from '../verdicts.js';

const ASKED = 3;
const VIBRATE_MS = 30;

/** @typedef {import('../outbox.js').Scan & {isForeign?: boolean}} Scan `isForeign`: another player is signed in. */

export const mount = mounts(Result, ([nonce]) => ({ nonce }));

/** @param {{nonce: string}} properties */
function Result({ nonce }) {
  const [scan, setScan] = useState(/** @type {Scan | null | undefined} */ (undefined));
  const [isPatient, setPatient] = useState(true);
  const heading = useRef(/** @type {HTMLElement | null} */ (null));

  // Read the scan at once: other effects wait for the next frame.
  useLayoutEffect(() => follow(nonce, setScan, () => setPatient(false)), [nonce]);
  const verdict = scan && verdictOf(scan, { isPatient, isForeign: scan.isForeign });
  // Screen readers speak each new headline.
  useEffect(() => heading.current?.focus({ preventScroll: true }), [verdict?.headline]);

  if (scan === undefined) return null;
  if (!verdict || !scan) return html`<${NotHere} />`;
  const isOpen = ['sending', 'sent'].includes(scan.state) && isPatient;
  return html`
    <section key=${verdict.headline} class=${`verdict verdict-arrived tone-${verdict.tone} ${isOpen ? 'waiting' : ''}`}>
      <${Contour} id=${scan.qr_code} />
      <div class="verdict-mark"><${Icon} name=${verdict.icon} /></div>
      <h1 tabindex="-1" ref=${heading}>${verdict.headline}</h1>
      <p>${verdict.line}</p>
      ${scan.state === 'waiting' && !scan.isForeign && html`<p class="verdict-note">${deadline(scan)}</p>`}
      ${scan.description && html`<p class="verdict-note">${scan.description} · <time datetime=${scan.scanned_at}>${shortTime(scan.scanned_at)}</time></p>`}
    </section>
    <${Offer} scan=${scan} />
    <div class="stack verdict-actions">
      ${verdict.actions.map((action, index) => html`<${Act} action=${action} scan=${scan} isFirst=${index === 0} />`)}
    </div>`;
}

/** Read a scan again whenever it changes, and ask for its verdict. Return a function that ends this. */
function follow(nonce, show, giveUp) {
  let isOver = false;
  const read = async () => {
    const scan = await find(nonce);
    const player = await signedInPlayer();
    if (!isOver) show(scan && { ...scan, isForeign: Boolean(player && scan.player_id && scan.player_id !== player) });
    return scan;
  };
  const stop = onChange(read);
  const look = async () => {
    const scan = await read();
    if (scan?.state === 'waiting' || scan?.state === 'needs_sign_in') flush();
    if (scan?.state === 'sent') await wait(scan, () => isOver);
    // An organizer may have released or reversed it since.
    if (scan?.state === 'settled' && scan.seen) await settle(scan, 0);
    const now = await read();
    if (scan?.state === 'sent' && now?.state === 'sent') giveUp();
    if (now?.state === 'settled' && !now.seen && !isOver) await greet(now);
  };
  const whenVisible = () => document.visibilityState === 'visible' && look();
  document.addEventListener('visibilitychange', whenVisible);
  look().then(() => flush({ force: false }));
  return () => {
    isOver = true;
    stop();
    document.removeEventListener('visibilitychange', whenVisible);
  };
}

/** @param {Scan} scan @param {() => boolean} isOver */
async function wait(scan, isOver) {
  for (let asked = 0; asked < ASKED && scan.state === 'sent' && !isOver(); asked += 1) scan = await settle(scan);
}

/** Return the scan of a nonce, or of a scan_id: the history of another device names scans by that. @param {string} id */
/** @param {string} id @returns {Promise<import('../outbox.js').Scan | null | undefined>} */
async function find(id) {
  const found = (await get(id)) ?? (await all()).find(({ scan_id }) => scan_id === id);
  if (found) return found;
  try {
    const { content: verdict } = await send('GET', `/scan/${encodeURIComponent(id)}`);
    const scan = {
      ...{ nonce: id, player_id: verdict.player_id, qr_code: verdict.qr_code, scanned_at: verdict.scanned_at },
      ...{ ...NOWHERE, tries: 0, scan_id: id, verdict },
      state: /** @type {import('../outbox.js').State} */ (verdict.status === 'pending' ? 'sent' : 'settled'),
    };
    await put(scan);
    return scan;
  } catch {
    return null;
  }
}

/** A short buzz for a success, once. @param {Scan} scan */
async function greet(scan) {
  await update(scan.nonce, { state: 'settled', seen: true });
  // Browsers refuse to vibrate before the first tap, and log it.
  if (scan.verdict.status === 'success' && navigator.userActivation?.hasBeenActive) navigator.vibrate?.(VIBRATE_MS);
}

/** @param {Scan} scan */
function deadline({ scanned_at }) {
  const end = new Date(Date.parse(scanned_at) + configuration().max_age_hours * 3_600_000);
  return _('Open Waymark before %(time)s so it counts.', { time: weekdayTime(end) });
}

function Act({ action, scan, isFirst }) {
  const [isOpen, setOpen] = useState(false);
  const style = `button button-large ${isFirst ? 'button-primary' : ''}`;
  if (action.href) return html`<a class=${style} href=${action.href}>${action.label}</a>`;
  const run = {
    details: () => setOpen(!isOpen),
    copy: async () => {
      await navigator.clipboard?.writeText(scan.scan_id);
      toast(_('Copied'));
    },
    guest: async () => {
      await update(scan.nonce, { state: 'waiting', player_id: null });
      flush();
    },
  }[action.kind];
  return html`
    <button class=${style} type="button" onClick=${run} aria-expanded=${action.kind === 'details' ? isOpen : undefined}>${action.label}</button>
    ${action.kind === 'copy' && html`<p class="hint">${_('Scan ID')} <code>${scan.scan_id}</code></p>`}
    ${isOpen && html`<${Details} scan=${scan} />`}`;
}

/** @param {{scan: Scan}} properties */
const Details = ({ scan }) => html`
  <dl class="facts card">
    <dt>${_('Next stop')}</dt><dd>${scan.verdict.destination.description || scan.verdict.destination.code}</dd>
    <dt>${_('Code')}</dt><dd><code>${scan.verdict.destination.code}</code></dd>
    <dt>${_('Found')}</dt><dd>${shortTime(scan.scanned_at)}</dd>
  </dl>`;

/** After a first success, a guest can keep what they collect. Never earlier. @param {{scan: Scan}} properties */
function Offer({ scan }) {
  const [isShown, setShown] = useState(false);
  const hasSuccess = scan.verdict?.status === 'success';
  useEffect(() => {
    if (!hasSuccess) return;
    Promise.all([currentPlayer(), meta('account_declined')]).then(([player, declined]) => setShown(Boolean(player?.guest && !declined)));
  }, [hasSuccess]);
  if (!isShown) return null;
  const decline = () => {
    setMeta('account_declined', true);
    setShown(false);
  };
  return html`
    <aside class="card stack verdict-offer">
      <p>${_('Keep what you collect: create an account')}</p>
      <div class="row">
        <a class="button" href=${`/create-account?next=${encodeURIComponent(`/play/result/${scan.nonce}`)}`}>${_('Create account')}</a>
        <button class="button button-quiet" type="button" onClick=${decline}>${_('Not now')}</button>
      </div>
    </aside>`;
}

const NotHere = () => html`
  <section class="verdict tone-off">
    <div class="verdict-mark"><${Icon} name="circle-question-mark" /></div>
    <h1>${_("We can't find this scan")}</h1>
    <p>${_('It was made on another device or by another player.')}</p>
  </section>
  <a class="button button-large" href="/play/history">${_('View history')}</a>`;
