/**
 * The outbox: every scan is stored on this device before it is sent, and kept until it has a verdict.
 *
 * Pages and the service worker import it, so it uses neither the document nor translations. The server knows a scan by
 * its nonce, so sending one twice does no harm.
 */

import { PLAYER_COOKIE, ask, signedInPlayer, sleep, uuid4 } from '../core/request.js';
import { run } from './database.js';

export { signedInPlayer };

/**
 * @typedef {'locating' | 'waiting' | 'sending' | 'sent' | 'settled' | 'refused' | 'needs_sign_in'} State
 * @typedef {{
 *   nonce: string, player_id: string | null, qr_code: string, description?: string, located?: boolean,
 *   latitude: number | null, longitude: number | null, accuracy: number | null, scanned_at: string,
 *   state: State, tries: number, scan_id: string | null, verdict: any, seen?: boolean, problem?: string | null,
 * }} Scan A scan without a player was made by a guest that does not exist yet. `locating`: its position is missing.
 */

const BATCH = 100;
const LONGEST_PAUSE = 300;
const LOCK = 'waymark-outbox';
const KEPT_MS = { settled: 30 * 86_400_000, refused: 30 * 86_400_000, locating: 3_600_000 };
export const NOWHERE = { latitude: null, longitude: null, accuracy: null };
const UNSENT = ['waiting', 'sending', 'needs_sign_in'];
const changes = globalThis.BroadcastChannel ? new BroadcastChannel(LOCK) : null;
/** @type {Promise<void> | undefined} */
let flushing;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

/** Add a scan, or replace it. @param {Scan} scan */
export const put = (scan) => change('scans', (store) => store.put(scan));
/** @param {string} nonce @returns {Promise<Scan | undefined>} */
export const get = (nonce) => run('scans', 'readonly', (store) => store.get(nonce));
/** @param {string} nonce */
export const remove = (nonce) => change('scans', (store) => store.delete(nonce));
/** @param {string} name @returns {Promise<any>} */
export const meta = async (name) => (await run('meta', 'readonly', (store) => store.get(name)))?.value;
/** @param {string} name @param {any} value */
export const setMeta = (name, value) => run('meta', 'readwrite', (store) => store.put({ name, value }));

/** Return all scans, oldest first. Scans whose position is missing are not among them. @returns {Promise<Scan[]>} */
export async function all() {
  const scans = /** @type {Scan[]} */ (await run('scans', 'readonly', (store) => store.getAll()));
  return scans.filter(({ state }) => state !== 'locating').sort((a, b) => (a.scanned_at < b.scanned_at ? -1 : 1));
}

/**
 * Change a scan in one transaction. A slower request cannot replace a verdict by an earlier state. Once there is a
 * verdict, the position is no longer needed here.
 * @param {string} nonce @param {Partial<Scan>} values
 */
export const update = (nonce, values) =>
  change('scans', (store) => {
    const found = store.get(nonce);
    found.onsuccess = () => {
      const scan = found.result;
      const isFinal = values.state === 'settled';
      if (!scan || (scan.state === 'settled' && !isFinal)) return;
      store.put({ ...scan, ...values, ...(isFinal ? NOWHERE : {}) });
    };
    return found;
  });

/** Call a function after each change, also of another tab. Return a function that ends this. @param {() => void} callback */
export function onChange(callback) {
  if (!globalThis.BroadcastChannel) return () => {};
  const channel = new BroadcastChannel(LOCK);
  channel.onmessage = callback;
  return () => channel.close();
}

/**
 * Send what waits: one batch at a time, in one tab at a time.
 * @param {{force?: boolean}} [options] `force`: also during the pause after a failure
 */
export async function flush({ force = true } = {}) {
  if (force) await setMeta('flush_after', 0);
  else if (await isPaused()) return;
  flushing ??= locked(LOCK, { ifAvailable: true }, flushAll).finally(() => (flushing = undefined));
  await flushing;
}

/** Return whether a failure was too recent to try again. If it was, try when its pause is over. */
async function isPaused() {
  const left = ((await meta('flush_after')) ?? 0) - Date.now();
  if (left <= 0) return false;
  clearTimeout(timer);
  timer = setTimeout(flush, left);
  return true;
}

/** Send what waits whenever that may have become possible: now, and as long as this page is open. */
export function keepFlushing() {
  addEventListener('online', () => flush());
  document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && flush());
  // A private window can refuse to store anything. A check-in says so.
  return purge()
    .then(() => flush({ force: false }))
    .catch((error) => console.warn(error));
}

/** Remove old verdicts, which the history has too, and scans whose position never came. */
const purge = () =>
  change('scans', (store) => {
    const found = store.getAll();
    found.onsuccess = () => {
      for (const { nonce, state, scanned_at } of found.result)
        if (Date.now() - Date.parse(scanned_at) > (KEPT_MS[state] ?? Infinity)) store.delete(nonce);
    };
    return found;
  });

/**
 * Become a guest. Its key is stored first, so that a lost response does not make a second guest.
 * @returns {Promise<{status: number, body: any, retryAfter: number}>} 201 and the player, or why there is none
 */
export const becomeGuest = () =>
  locked('waymark-guest', {}, async () => {
    const player = await signedInPlayer();
    return player ? { status: 201, body: { player_id: player }, retryAfter: 0 } : createGuest();
  });

async function createGuest(retries = 1) {
  const answer = await ask('POST', '/session/guest', { headers: { 'Idempotency-Key': await guestKey() } });
  if (answer.status === 201) await setMeta('player', answer.body);
  if (answer.status !== 409) {
    if (answer.status === 201) await run('meta', 'readwrite', (store) => store.delete('guest_key'));
    return answer;
  }
  // The first request with this key still runs. Otherwise its guest has an account by now: make another.
  if (retries) await sleep(1);
  else await run('meta', 'readwrite', (store) => store.delete('guest_key'));
  return createGuest(retries ? 0 : 1);
}

/** Return the stored key of the guest, or store a new one. */
const guestKey = () =>
  run('meta', 'readwrite', (store) => {
    const kept = { result: uuid4() };
    const found = store.get('guest_key');
    found.onsuccess = () => {
      if (found.result) kept.result = found.result.value;
      else store.put({ name: 'guest_key', value: kept.result });
    };
    return kept;
  });

/** Ask for the verdict of a stored scan. Return the scan as it is now. @param {Scan} scan @param {number} [seconds] */
export async function settle(scan, seconds = 10) {
  const { status, body } = await ask('GET', `/scan/${scan.scan_id}`, { headers: { Prefer: `wait=${seconds}` } });
  if (status === 200 && body.status !== 'pending') await update(scan.nonce, { state: 'settled', verdict: body });
  return (await get(scan.nonce)) ?? scan;
}

/** The fields of a scan that the server takes. @param {Scan} scan */
export function toBody({ player_id, qr_code, latitude, longitude, accuracy, scanned_at, nonce }) {
  const position = latitude === null ? {} : { latitude, longitude, accuracy };
  return { player_id, qr_code, ...position, scanned_at, nonce };
}

async function flushAll() {
  // A worker without this store does not know whose scans it would send.
  if (!globalThis.document && !globalThis.cookieStore) return;
  clearTimeout(timer);
  const asked = new Set();
  while (await sendBatch()) {
    const player = await signedInPlayer();
    const next = (await all()).find((scan) => scan.state === 'sent' && scan.player_id === player && !asked.has(scan.nonce));
    if (!next) return;
    asked.add(next.nonce);
    await settle(next);
  }
}

/** Send up to 100 waiting scans of the player. Return false if that failed, and waits for later. */
async function sendBatch() {
  const waiting = (await all()).filter(({ state }) => UNSENT.includes(state));
  let player = await signedInPlayer();
  if (!player && waiting.some(({ player_id }) => player_id === null)) {
    const answer = await becomeGuest();
    if (answer.status !== 201) return pause(waiting, answer);
    player = answer.body.player_id;
  }
  if (!player) await askToSignIn(waiting);
  // Scans of another player wait for their owner.
  const own = waiting.filter(({ player_id }) => player_id === null || player_id === player).slice(0, BATCH);
  if (!player || !own.length) return true;
  for (const { nonce } of own) await update(nonce, { state: 'sending', player_id: player });
  const scans = own.map((scan) => toBody({ ...scan, player_id: player }));
  const answer = await ask('POST', '/scans/batch', { body: { sent_at: new Date().toISOString(), scans } });
  if (answer.status === 401) return endSession(own);
  if (answer.status !== 202) return pause(own, answer);
  await setMeta('flush_after', 0);
  for (const { nonce, scan_id, errors } of answer.body.scans) {
    if (scan_id) await update(nonce, { state: 'sent', scan_id, tries: 0 });
    else await update(nonce, { state: 'refused', problem: errors.map(({ message }) => message).join(' ') });
  }
  return waiting.length <= own.length || sendBatch();
}

/** Try again later: after the time that the server asks for, or after a pause that doubles. */
async function pause(scans, { retryAfter }) {
  const tries = Math.max(...scans.map((scan) => scan.tries)) + 1;
  for (const { nonce } of scans) await update(nonce, { state: 'waiting', tries });
  const seconds = retryAfter || Math.min(2 ** tries, LONGEST_PAUSE);
  await setMeta('flush_after', Date.now() + seconds * 1000);
  timer = setTimeout(flush, seconds * 1000);
  return false;
}

/** The session of the cookie has ended: its scans wait until their player signs in. @param {Scan[]} scans */
export async function endSession(scans) {
  if (globalThis.document) document.cookie = `${PLAYER_COOKIE}=; Path=/; Max-Age=0`;
  await askToSignIn(scans);
  return false;
}

async function askToSignIn(scans) {
  for (const { nonce, state } of scans) if (state !== 'needs_sign_in') await update(nonce, { state: 'needs_sign_in' });
}

/** Run in one tab at a time. Plain http has no locks: there the server's idempotency must suffice. */
const locked = (name, options, work) =>
  navigator.locks ? navigator.locks.request(name, options, (lock) => (lock ? work() : undefined)) : work();

/** Change something, and let every page know. */
async function change(name, use) {
  await run(name, 'readwrite', use);
  changes?.postMessage(null);
}
