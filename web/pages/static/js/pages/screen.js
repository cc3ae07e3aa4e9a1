/** A rotating code on a screen: the current image, what it is for, and an honest word when it is out of date. */
import { get } from '../core/api.js';
import { _, ngettext } from '../core/i18n.js';
import { clockTime } from '../core/time.js';

const POLL_MS = 5000;
const RETRY_MS = 2000;
const MAX_IMAGE_MS = 30000;
const MAX_CLOCK_ERROR_MS = 5000;
const IMAGE_QUERY = '?format=svg&size=1000';

/** @param {string} id @returns {any} */
const byId = (id) => document.getElementById(id);
const root = byId('screen');
const image = byId('screen-code');
const ring = byId('screen-ring');

/** A moment by both clocks: one stops while the device sleeps, the other one jumps when it is set. */
const now = () => ({ wall: Date.now(), steady: performance.now() });
const since = (moment) => Math.max(Date.now() - moment.wall, performance.now() - moment.steady);

// The server drew this page after the navigation had started, so its image is no older than that.
let shownAt = { wall: performance.timeOrigin, steady: 0 };
let lifetime = Number(root.dataset.secondsLeft) * 1000;
let step = Number(root.dataset.rotationSeconds) * 1000;
/** @type {number | null} */
let offlineSince = null;
let timer = 0;

/** Ask the server, then ask again: at the end of the step, and often enough to count scans. */
async function update() {
  clearTimeout(timer);
  let pause = POLL_MS;
  try {
    const started = now();
    const state = await get(root.dataset.stateUrl || '', { timeout: 10000 });
    checkClock(started, state.server_time);
    if (since(shownAt) >= Math.min(lifetime, MAX_IMAGE_MS)) await show(state, started);
    step = state.rotation_seconds * 1000;
    byId('screen-title').textContent = state.description || _('Game code');
    byId('screen-scans').textContent = ngettext('%(num)s scan today', '%(num)s scans today', state.scans_today);
    offlineSince = null;
  } catch (error) {
    // The screen was revoked, or its code is over: the page says so.
    if (error.status === 404 || error.status === 410) return location.reload();
    offlineSince ??= Date.now();
    pause = error.retryAfter ? error.retryAfter * 1000 : RETRY_MS;
  }
  draw();
  timer = setTimeout(update, Math.max(250, offlineSince ? pause : Math.min(pause, lifetime - since(shownAt))));
}

/** Replace the image once the next one can be painted. Its step is the one of `state`, or a later one. */
async function show(state, started) {
  const response = await fetch(state.image_url + IMAGE_QUERY, { cache: 'no-store', signal: AbortSignal.timeout(10000) });
  if (!response.ok) throw Object.assign(new Error(), { status: response.status });
  const next = new Image();
  next.src = URL.createObjectURL(await response.blob());
  await next.decode();
  const before = image.src;
  image.src = next.src;
  if (before.startsWith('blob:')) URL.revokeObjectURL(before);
  shownAt = started;
  lifetime = state.seconds_left * 1000;
}

/** Compare the clock of this device with the server's, which counts. The response took some of the difference. */
function checkClock(started, serverTime) {
  const difference = Math.abs((started.wall + Date.now()) / 2 - Date.parse(serverTime));
  byId('screen-clock').hidden = difference - since(started) / 2 <= MAX_CLOCK_ERROR_MS;
}

/** Draw what changes with time: the ring, and whether the image is still good. */
function draw() {
  const left = Math.max(0, lifetime - since(shownAt));
  byId('screen-seconds').textContent = String(Math.ceil(left / 1000));
  ring.style.strokeDashoffset = String(100 - Math.min(100, (100 * left) / step));
  const isOld = left === 0 && offlineSince !== null;
  root.classList.toggle('screen-old', isOld);
  byId('screen-offline').hidden = !isOld;
  if (!isOld) return;
  byId('screen-offline-text').textContent = _('Offline since %(time)s', { time: clockTime(offlineSince || 0) });
}

/** Keep the screen on. Browsers release the lock while the page is hidden. */
async function keepAwake() {
  if (document.visibilityState !== 'visible') return;
  await navigator.wakeLock?.request('screen').catch(() => {});
}

document.addEventListener('visibilitychange', () => {
  keepAwake();
  if (document.visibilityState === 'visible') update();
});
addEventListener('online', update);
root.addEventListener('click', () => document.documentElement.requestFullscreen?.().catch(() => {}));
byId('screen-time').hidden = false;
setInterval(draw, 250);
keepAwake();
update();
