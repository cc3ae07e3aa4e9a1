/**
 * One socket of an organization's live events, which is opened again whenever it ends. A ticket before each connection.
 * After three failures it asks for a reload every five seconds, and still tries to connect.
 */
import { post } from './core/api.js';

const FIRST_WAIT_MS = 1000;
const MAX_WAIT_MS = 30000;
const STABLE_MS = 10000;
const FAILURES = 3;
const POLL_MS = 5000;
const GOING_AWAY = 1001;
const POLICY_VIOLATION = 1008;
const TRY_AGAIN_LATER = 1013;
/** Reconnect at once: the server is there, and another process takes the socket, or the session ended. */
const AT_ONCE = [GOING_AWAY, POLICY_VIOLATION, TRY_AGAIN_LATER];

/** @typedef {'live' | 'reconnecting' | 'polling' | 'paused'} State */

/**
 * @param {{orgId: string, since: () => string | null, onEvent: (event: any) => void, onState: (state: State) => void}} options
 *   `since`: the id of the last event, from which the next socket continues
 */
export function keepSocket({ orgId, since, onEvent, onState }) {
  /** @type {WebSocket | null} */
  let socket = null;
  let isClosed = false;
  let isConnecting = false;
  let failures = 0;
  let wait = FIRST_WAIT_MS;
  let retry = 0;
  let poll = 0;

  const connect = async () => {
    clearTimeout(retry);
    isConnecting = true;
    let ticket = '';
    try {
      ({ ticket } = await post('/ws/ticket'));
    } catch (problem) {
      isConnecting = false;
      if (isClosed) return;
      // The player did not sign in again. The page asks once more when it is visible the next time.
      if (problem.status === 401) onState('paused');
      else failed(problem.retryAfter);
      return;
    }
    isConnecting = false;
    if (!isClosed) listen(ticket);
  };

  /** @param {string} ticket */
  const listen = (ticket) => {
    const url = new URL(`/ws/organizations/${orgId}`, location.href);
    url.protocol = url.protocol.replace('http', 'ws');
    url.searchParams.set('ticket', ticket);
    const position = since();
    if (position !== null) url.searchParams.set('since', position);
    const opened = new WebSocket(url);
    socket = opened;
    let openedAt = 0;
    opened.addEventListener('open', () => {
      openedAt = Date.now();
      failures = 0;
      clearInterval(poll);
      poll = 0;
      onState('live');
    });
    opened.addEventListener('message', ({ data }) => {
      if (socket === opened) onEvent(JSON.parse(data));
    });
    opened.addEventListener('close', ({ code }) => {
      if (socket !== opened) return;
      socket = null;
      if (!openedAt) {
        failed();
        return;
      }
      onState('reconnecting');
      if (Date.now() - openedAt >= STABLE_MS) {
        wait = FIRST_WAIT_MS;
        if (AT_ONCE.includes(code)) {
          connect();
          return;
        }
      }
      later();
    });
  };

  /** @param {number} [retryAfter] seconds */
  const failed = (retryAfter = 0) => {
    failures += 1;
    if (failures >= FAILURES && !poll) {
      poll = setInterval(() => onEvent({ event: 'reset' }), POLL_MS);
      onEvent({ event: 'reset' });
    }
    onState(poll ? 'polling' : 'reconnecting');
    later(retryAfter * 1000);
  };

  /** Connect after a while: the wait doubles, and half of it is random, so that browsers do not return together. */
  const later = (least = 0) => {
    clearTimeout(retry);
    retry = setTimeout(connect, Math.max(least, wait * (0.5 + Math.random() / 2)));
    wait = Math.min(MAX_WAIT_MS, wait * 2);
  };

  onState('reconnecting');
  connect();
  return {
    /** Connect now instead of later. */
    wake() {
      if (!socket && !isConnecting) connect();
    },
    close() {
      isClosed = true;
      clearTimeout(retry);
      clearInterval(poll);
      const open = socket;
      socket = null;
      open?.close();
    },
  };
}
