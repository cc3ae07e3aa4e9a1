/** What this phone knows about its player, beside the scans that wait to be sent. It belongs to one player. */
import { meta, setMeta } from './outbox.js';

/** Views that show their last state while offline. */
export const SNAPSHOTS = ['home', 'inventory', 'quests', 'history'];
const NAMES = [...SNAPSHOTS.map((name) => `snapshot-${name}`), 'seen-items', 'signin', 'signup', 'player', 'owner'];

/** Delete all of it: when the player signs out, and when another player signs in. */
export const deletePersonal = () => Promise.all(NAMES.map((name) => setMeta(name, null))).catch(() => null);

/** Return what was stored under this name for this player, or null. @param {string} name @param {string} playerId */
export async function readPersonal(name, playerId) {
  const stored = await meta(name).catch(() => null);
  return stored?.player_id === playerId ? stored : null;
}

/** @param {string} name @param {string} playerId @param {any} values */
export const storePersonal = (name, playerId, values) =>
  setMeta(name, { player_id: playerId, ...values }).catch(() => null);
