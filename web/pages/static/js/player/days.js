/** The first open of a day counts as a sign-in, once. */
import { post } from '../core/api.js';
import { localDate } from './parts.js';
import { readPersonal, storePersonal } from './personal.js';

/**
 * Track today's sign-in of this player, unless it was tracked. Return whether it was now.
 * The date is the key of the request, so that two tabs count once. Nothing is shown if it fails: tomorrow is a day too.
 * @param {{player_id: string}} player
 */
export async function trackDay(player) {
  const today = localDate(new Date());
  if ((await readPersonal('signin', player.player_id))?.date === today) return false;
  try {
    await post('/api/v1/track/signin', undefined, { headers: { 'Idempotency-Key': today } });
  } catch (error) {
    // Refused for good, such as with TRACK_REQUIRES_KEY: ask again tomorrow.
    if (error.status !== 403 && error.status !== 404) return false;
  }
  await storePersonal('signin', player.player_id, { date: today });
  return true;
}
