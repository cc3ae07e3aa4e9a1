/** One tap from a code to its verdict: store the scan, have a player, find the position, send it, show the result. */
import { ask, uuid4 } from '../core/request.js';
import { _ } from '../core/i18n.js';
import { codeInUrl } from './code-text.js';
import { LocationProblem, locate } from './locate.js';
import { NOWHERE, all, endSession, get, put, remove, signedInPlayer, toBody, update } from './outbox.js';
import { ensurePlayer, whileBusy } from './session.js';

const OPEN = ['waiting', 'sending', 'sent'];
const RESUME_WITHIN_MS = 60_000;
const TIMEOUT_MS = 20_000;
/** @type {Promise<any> | undefined} */
let running;

/** @returns {{max_accuracy_m: number, max_age_hours: number, code_paths: string[]}} */
export const configuration = () => JSON.parse(document.getElementById('config')?.textContent || '{}');

/**
 * Check in. A second tap joins the first one.
 * @param {{qrCode: string, description?: string, located: boolean | null, onStatus?: (text: string) => void,
 *   onResult?: (nonce: string) => void}} code `located`: whether it needs a position, null if that is unknown
 * @returns {Promise<import('./outbox.js').Scan | null>} The scan as it is now. Null: there is no position, which the
 *   page has explained.
 */
export function checkIn(code) {
  running ??= run(code).finally(() => (running = undefined));
  return running;
}

/** Return the scan of this code by this player that a reload interrupted, if there is one. @param {string} qrCode */
export async function interrupted(qrCode) {
  const player = await signedInPlayer();
  const isOpen = ({ state, scanned_at }) => OPEN.includes(state) && Date.now() - Date.parse(scanned_at) < RESUME_WITHIN_MS;
  return (await all()).find((scan) => scan.qr_code === qrCode && isOpen(scan) && [null, player].includes(scan.player_id));
}

/** Load the page of a result. @param {string} nonce */
export const showResult = (nonce) => location.assign(`/play/result/${nonce}`);

/** @type {typeof checkIn} */
async function run({ qrCode, description = '', located, onStatus = () => {}, onResult = showResult }) {
  const nonce = uuid4();
  await put({
    nonce,
    player_id: await signedInPlayer(),
    qr_code: qrCode,
    description,
    located: located ?? true,
    ...NOWHERE,
    scanned_at: new Date().toISOString(),
    state: located === false ? 'waiting' : 'locating',
    tries: 0,
    scan_id: null,
    verdict: null,
  });
  const player = ensurePlayer(onStatus);
  // Loaded while the server decides.
  import('./views/result.js').catch(() => {});
  const isNeeded = located ?? (await needsPosition(qrCode, await player));
  if (isNeeded !== false) {
    const position = await findPosition(onStatus, isNeeded === null);
    if (!position && isNeeded) {
      await remove(nonce);
      return null;
    }
    await update(nonce, { ...position, state: 'waiting' });
  } else if (located === null) await update(nonce, { located: false, state: 'waiting' });
  onStatus(_('Checking your scan…'));
  await submit(nonce, await player, onStatus);
  const scan = await get(nonce);
  if (scan?.state === 'waiting') keepSafe();
  // Without a service worker there is no page to go to while there is no connection.
  const canLeave = location.pathname.startsWith('/play') || navigator.serviceWorker?.controller;
  if (scan?.state !== 'waiting' || canLeave) onResult(nonce);
  return scan ?? null;
}

/** Ask the browser to keep what waits, and to send it later even if this page is closed. Firefox may ask the person. */
function keepSafe() {
  /** @type {any} */ (navigator.storage)?.persist?.();
  navigator.serviceWorker?.ready.then((registration) => /** @type {any} */ (registration).sync?.register('outbox')).catch(() => {});
}

/** Return whether a code needs a position. Only players may ask. Null without an answer: it may need one. */
async function needsPosition(qrCode, player) {
  if (!player) return null;
  const code = codeInUrl(qrCode, configuration().code_paths) ?? qrCode;
  const { status, body } = await ask('GET', `/qr/${encodeURIComponent(code)}`);
  return status === 200 ? body.requires_location : status === 0 || status >= 429 ? null : false;
}

/**
 * Return the position. Null: there is none. Unless it is optional, a dialog explains what to do. Its "Try again" tries again.
 */
async function findPosition(onStatus, isOptional) {
  for (;;) {
    onStatus(_('Finding your location…'));
    try {
      return await locate({
        maxAccuracy: configuration().max_accuracy_m,
        onFix: (accuracy) => onStatus(_('Finding your location… ±%(meters)s m', { meters: Math.round(accuracy) })),
      });
    } catch (problem) {
      if (!(problem instanceof LocationProblem)) throw problem;
      onStatus('');
      if (isOptional) return null;
      const { explain } = await import('./location-help.js');
      if (!(await explain(problem.kind))) return null;
    }
  }
}

/** Send a scan by itself, for its verdict. What cannot be sent now stays in the outbox. */
async function submit(nonce, player, onStatus) {
  const scan = await get(nonce);
  if (!player || !scan || (scan.player_id && scan.player_id !== player)) return;
  await update(nonce, { state: 'sending', player_id: player });
  // The server's clock counts for a live scan: the one of a phone may be wrong.
  const { scanned_at: _at, ...body } = toBody({ ...scan, player_id: player });
  const options = { body, headers: { Prefer: 'wait=8' }, timeout: TIMEOUT_MS };
  const answer = await whileBusy(
    () => ask('POST', '/scan', options),
    (seconds) => onStatus(_('Busy right now. Trying again in %(seconds)s s.', { seconds })),
  );
  if (answer.status === 200) await update(nonce, { state: 'settled', scan_id: answer.body.scan_id, verdict: answer.body });
  else if (answer.status === 202) await update(nonce, { state: 'sent', scan_id: answer.body.scan_id });
  else if (answer.status === 401) await endSession([scan]);
  else if (answer.status === 409 || answer.status === 422) await update(nonce, { state: 'refused', problem: messageOf(answer.body) });
  else await update(nonce, { state: 'waiting' });
}

/** Return the sentences of a problem. */
const messageOf = ({ detail, errors = [] }) => errors.map(({ message }) => message).join(' ') || detail;
