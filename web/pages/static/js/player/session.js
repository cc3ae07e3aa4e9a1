/** The player of this browser: signed in, a guest, or not there yet. */
import { ask, sleep } from '../core/request.js';
import { _ } from '../core/i18n.js';
import { becomeGuest, meta, setMeta, signedInPlayer } from './outbox.js';

/** @typedef {{player_id: string, username: string, guest: boolean}} Player */

const BUSY = [429, 503];
const BUSY_SECONDS = 5;

/** Return the signed-in player, without a connection as last seen. Null: no player is signed in. @returns {Promise<Player | null>} */
export async function currentPlayer() {
  const id = await signedInPlayer();
  if (!id) return null;
  const { status, body } = await ask('GET', '/session');
  if (status === 200) await setMeta('player', body);
  if (status === 401) return null;
  const player = status === 200 ? body : await meta('player');
  return player?.player_id === id ? player : { player_id: id, username: '', guest: false };
}

/**
 * Return the id of the signed-in player, or become a guest. Null without a connection.
 * @param {(text: string) => void} [onStatus]
 * @returns {Promise<string | null>}
 */
export async function ensurePlayer(onStatus = () => {}) {
  const player = await signedInPlayer();
  if (player) return player;
  const text = _("Lots of people are joining right now. You're in line; we'll check you in automatically.");
  const { status, body } = await whileBusy(becomeGuest, () => onStatus(text));
  return status === 201 ? body.player_id : null;
}

/**
 * Repeat a request while the server is busy, as often as it asks for.
 * @template {{status: number, retryAfter: number}} Answer
 * @param {() => Promise<Answer>} request @param {(seconds: number) => void} onBusy
 */
export async function whileBusy(request, onBusy) {
  for (;;) {
    const answer = await request();
    if (!BUSY.includes(answer.status)) return answer;
    const seconds = answer.retryAfter || BUSY_SECONDS;
    onBusy(seconds);
    await sleep(seconds);
  }
}
