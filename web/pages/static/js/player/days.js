/** What opening the pages counts: a sign-in on each day, and the sign-up of an account. */
import { post } from '../core/api.js';
import { localDate } from './parts.js';
import { readPersonal, storePersonal } from './personal.js';

/**
 * Track today's sign-in of this player and the sign-up of their account, unless they were tracked.
 * @param {{player_id: string, guest: boolean}} player
 */
export async function trackDay(player) {
  await track(player, 'signin', localDate(new Date()));
  if (!player.guest) await track(player, 'signup', 'sign-up');
}

/**
 * The date is the key of the request, so that two tabs count once. Nothing is shown if it fails: the next visit tries again.
 * @param {{player_id: string}} player @param {'signin' | 'signup'} action @param {string} key
 */
async function track({ player_id: id }, action, key) {
  if ((await readPersonal(action, id))?.key === key) return;
  try {
    await post(`/api/v1/track/${action}`, undefined, { headers: { 'Idempotency-Key': key } });
  } catch (error) {
    // Refused, such as with TRACK_REQUIRES_KEY: do not ask again for this key.
    if (error.status !== 403 && error.status !== 404) return;
  }
  await storePersonal(action, id, { key });
}
