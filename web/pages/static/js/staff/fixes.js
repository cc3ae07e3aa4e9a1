/** The positions of this device while its owner does not move: together they are more accurate than one. */

const WINDOW_MS = 20000;
const MAX_FIXES = 100;
const METERS_PER_DEGREE = 111195;
const DENIED = 1;

/** @typedef {{latitude: number, longitude: number, accuracy: number}} Fix */

/**
 * Collect positions until `stop` is called. `fixes` returns those of the last seconds since the device was moved, and at
 * least the last one.
 * @param {{onFix: (accuracy: number) => void, onProblem: (kind: 'insecure' | 'denied' | 'timeout') => void}} callbacks
 *   `accuracy` in meters, of the last position
 */
export function collectFixes({ onFix, onProblem }) {
  /** @type {(Fix & {at: number})[]} */
  let collected = [];
  if (!isSecureContext || !navigator.geolocation) {
    onProblem('insecure');
    return { fixes: () => [], stop: () => {} };
  }
  const watch = navigator.geolocation.watchPosition(
    ({ coords: { latitude, longitude, accuracy } }) => {
      const now = Date.now();
      const fix = { latitude, longitude, accuracy, at: now };
      const last = collected.at(-1);
      if (last && meters(last, fix) > last.accuracy + accuracy) collected = [];
      collected = [...collected.filter(({ at }) => now - at < WINDOW_MS), fix].slice(-MAX_FIXES);
      onFix(accuracy);
    },
    ({ code }) => {
      // After a first position, the device only has no better one.
      if (!collected.length) onProblem(code === DENIED ? 'denied' : 'timeout');
    },
    { enableHighAccuracy: true, maximumAge: 0, timeout: 15000 },
  );
  return {
    fixes: () => collected.map(({ latitude, longitude, accuracy }) => ({ latitude, longitude, accuracy })),
    stop: () => navigator.geolocation.clearWatch(watch),
  };
}

/** The distance of two positions that are close to each other. @param {Fix} one @param {Fix} other */
function meters(one, other) {
  const east = (other.longitude - one.longitude) * Math.cos((one.latitude * Math.PI) / 180);
  return Math.hypot(east, other.latitude - one.latitude) * METERS_PER_DEGREE;
}
