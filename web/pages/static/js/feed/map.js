/** The map beside the feed: the place of a code pulses when it is scanned. Leaflet is loaded when the map is shown. */
import { Problem, get } from '../core/api.js';
import { showFailure } from '../staff/fragment.js';

const WORLD = 'bbox=-180,-90,180,90&zoom=2';
const FOLLOW_MS = 1000;
const TONES = { pending: 'info', success: 'ok', failure: 'bad', held: 'held', annulled: 'off' };

/** @param {{section: HTMLElement, box: HTMLElement, follow: HTMLInputElement, api: string}} options */
export function createFeedMap({ section, box, follow, api }) {
  /** Where codes are, by their text. @type {Map<string, [number, number]>} */
  const places = new Map();
  /** @type {Awaited<ReturnType<typeof import('../map.js').createMap>> | null} */
  let map = null;
  let isLoading = false;
  let followedAt = 0;

  const load = async () => {
    isLoading = true;
    try {
      const { createMap } = await import('../map.js');
      const found = await get(`${api}/qr-codes/places?${WORLD}`);
      map ??= await createMap(box);
      map.setCodes(found);
      // Above 2,000 codes there are cells, and the places of codes come with the codes.
      if (found.kind === 'codes') for (const [, text, latitude, longitude] of found.rows) places.set(text, [latitude, longitude]);
      map.fit();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      showFailure(section, error, load);
    } finally {
      isLoading = false;
    }
  };

  return {
    /** @param {boolean} shown */
    show(shown) {
      section.hidden = !shown;
      if (shown && !map && !isLoading) load();
    },
    /** @param {string} text @param {string} status @param {import('./lookups.js').Code | undefined} code */
    pulse(text, status, code) {
      if (!map || section.hidden) return;
      const place = places.get(text) ?? (code?.latitude ? [code.latitude, code.longitude] : null);
      if (!place) return;
      const [latitude, longitude] = place;
      map.pulse(latitude, longitude, TONES[status]);
      if (follow.checked && Date.now() - followedAt > FOLLOW_MS) {
        followedAt = Date.now();
        map.show({ latitude, longitude });
      }
    },
    /** Does the map know where this code is? @param {string} text */
    knows: (text) => places.has(text),
  };
}
