/** The position of this device: the best fix of up to ten seconds. */

export const GOOD_M = 30;
const APPROXIMATE_M = 1000;
const SECONDS = 10;
const DENIED = 1;
const TIMED_OUT = 3;

/** @typedef {{latitude: number, longitude: number, accuracy: number}} Position */

/** Why there is no position: `insecure`, `denied`, `timeout`, `imprecise`, or `approximate` (the system hides it). */
export class LocationProblem extends Error {
  /** @param {'insecure' | 'denied' | 'timeout' | 'imprecise' | 'approximate'} kind */
  constructor(kind) {
    super(kind);
    this.kind = kind;
  }
}

/**
 * Find the position. It is returned at once if it is good, else after ten seconds if it is within the limit.
 * @param {{maxAccuracy: number, onFix?: (accuracy: number) => void}} options in meters
 * @returns {Promise<Position>} Rejects with a LocationProblem.
 */
export async function locate({ maxAccuracy, onFix = () => {} }) {
  if (!isSecureContext || !navigator.geolocation) throw new LocationProblem('insecure');
  /** @type {Position | null} */
  let best = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  let watch = 0;
  try {
    best = await new Promise((resolve, reject) => {
      const finish = () => resolve(best);
      // The time that a person needs for the browser's question does not count.
      const begin = () => (timer ??= setTimeout(finish, SECONDS * 1000));
      whenGranted(begin);
      watch = navigator.geolocation.watchPosition(
        ({ coords: { latitude, longitude, accuracy } }) => {
          begin();
          if (!best || accuracy < best.accuracy) best = { latitude, longitude, accuracy };
          onFix(best.accuracy);
          if (best.accuracy <= GOOD_M) finish();
        },
        ({ code }) => {
          if (code === DENIED) reject(new LocationProblem('denied'));
          else if (code === TIMED_OUT) finish();
          else begin();
        },
        { enableHighAccuracy: true, maximumAge: 0, timeout: SECONDS * 1000 },
      );
    });
  } finally {
    clearTimeout(timer);
    navigator.geolocation.clearWatch(watch);
  }
  if (!best) throw new LocationProblem('timeout');
  if (best.accuracy > maxAccuracy) throw new LocationProblem(best.accuracy > APPROXIMATE_M && isPhone() ? 'approximate' : 'imprecise');
  return best;
}

/** @returns {'ios' | 'android' | 'other'} */
export function platform(userAgent = navigator.userAgent) {
  if (/iPhone|iPad|iPod/.test(userAgent)) return 'ios';
  return /Android/.test(userAgent) ? 'android' : 'other';
}

const isPhone = () => platform() !== 'other';

/** @param {() => void} begin */
async function whenGranted(begin) {
  const status = await navigator.permissions?.query({ name: 'geolocation' }).catch(() => null);
  if (status?.state === 'granted') begin();
  else status?.addEventListener('change', () => status.state === 'granted' && begin());
}
