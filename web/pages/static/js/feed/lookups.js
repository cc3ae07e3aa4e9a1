/** What live events do not contain: codes by their text, and for admins the names of players. Each is asked for once. */
import { Problem, get, post, sleep } from '../core/api.js';

const CODE_GAP_S = 0.2;
const NAMES_GAP_S = 0.5;
const MAX_NAMES = 200;
const MAX_WAITING = 200;
const MAX_KNOWN = 2000;
const FOUND = 100;

/** @typedef {{id: string | null, text: string, description: string, scan_type: string | null, tags: string[], latitude: number | null, longitude: number | null}} Code */

/** @param {{api: string, onCode: (code: Code) => void, onNames: (names: Map<string, string>) => void}} options `api`: path of the organization */
export function createLookups({ api, onCode, onNames }) {
  /** @type {Map<string, Code>} */
  const codes = new Map();
  /** @type {Map<string, string>} */
  const names = new Map();
  const wantedCodes = new Set();
  const wantedNames = new Set();
  let isReadingCodes = false;
  let isReadingNames = false;

  const readCodes = async () => {
    isReadingCodes = true;
    while (wantedCodes.size) {
      // The newest first: it is the one that is looked at.
      const text = [...wantedCodes].at(-1);
      wantedCodes.delete(text);
      try {
        const { items } = await get(`${api}/qr-codes?${new URLSearchParams({ q: text, limit: String(FOUND) })}`);
        // A scan by an alias has another text than the code.
        const found = items.find((code) => code.code === text) ?? (items.length === 1 ? items[0] : null);
        const unknown = { id: null, description: '', scan_type: null, tags: [], latitude: null, longitude: null };
        const code = /** @type {Code} */ ({ ...(found ?? unknown), text });
        remember(codes, text, code);
        onCode(code);
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        await sleep(error.retryAfter ?? 1);
      }
      await sleep(CODE_GAP_S);
    }
    isReadingCodes = false;
  };

  const readNames = async () => {
    isReadingNames = true;
    while (wantedNames.size) {
      await sleep(NAMES_GAP_S);
      const ids = [...wantedNames].slice(-MAX_NAMES);
      ids.forEach((id) => wantedNames.delete(id));
      try {
        const { items } = await post(`${api}/players/names`, { ids });
        const found = new Map(items.map((item) => [item.player_id, item.username]));
        for (const [id, name] of found) remember(names, id, name);
        onNames(found);
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        await sleep(error.retryAfter ?? 1);
      }
    }
    isReadingNames = false;
  };

  return {
    /** Return a code, or undefined and ask for it. @param {string} text */
    code(text) {
      const known = codes.get(text);
      if (!known && text) {
        want(wantedCodes, text);
        if (!isReadingCodes) readCodes();
      }
      return known;
    },
    /** Return a name, or undefined and ask for it. @param {string} id */
    name(id) {
      const known = names.get(id);
      if (!known) {
        want(wantedNames, id);
        if (!isReadingNames) readNames();
      }
      return known;
    },
  };
}

/** @param {Set<string>} wanted @param {string} key */
function want(wanted, key) {
  wanted.delete(key);
  wanted.add(key);
  if (wanted.size > MAX_WAITING) wanted.delete(wanted.values().next().value);
}

/** @template T @param {Map<string, T>} known @param {string} key @param {T} value */
function remember(known, key, value) {
  known.set(key, value);
  if (known.size > MAX_KNOWN) known.delete(known.keys().next().value);
}
