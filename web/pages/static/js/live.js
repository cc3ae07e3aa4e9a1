/**
 * The live events of an organization, with one socket per browser. The tab that holds the lock has the socket, and the
 * others listen to it. When it closes, the next one continues after the last event. Ids are positions of the log: each
 * tab takes an event once, in order, and asks for those that it missed.
 */
import { keepSocket } from './live-socket.js';

const HIDDEN_MS = 60000;
const MAX_MISSED = 500;

/** @typedef {import('./live-socket.js').State} State */

/** @param {string | null | undefined} id @param {string | null | undefined} other */
const isAfter = (id, other) => other === null || other === undefined || Number(id) > Number(other);

/**
 * Call `onEvent` with each event after `since`, without a gap or a duplicate. `{"event": "reset"}` means: load the data of
 * the page again. `onState` is called when the connection changes.
 * @param {{orgId: string, since?: string | null, onEvent: (event: any) => void, onState?: (state: State) => void}} options
 */
export function connectLive({ orgId, since = null, onEvent, onState = () => {} }) {
  const name = `live:${orgId}`;
  const tab = String(Math.random());
  // Without https there are no locks, so each tab has its own socket.
  const channel = navigator.locks ? new BroadcastChannel(name) : null;
  let last = since;
  let state = '';
  let isJoined = false;
  let hasAsked = false;
  let hideTimer = 0;
  let waiting = new AbortController();
  /** @type {ReturnType<typeof keepSocket> | null} */
  let socket = null;
  let release = () => {};
  /** What this tab received as the leader: all events after `start`. */
  let kept = /** @type {any[]} */ ([]);
  let start = /** @type {string | null} */ (null);

  /** @param {State} next */
  const setState = (next) => {
    if (next === state) return;
    state = next;
    onState(next);
  };

  const take = (event) => {
    if (event.id === undefined) {
      onEvent(event);
    } else if (isAfter(event.id, last)) {
      last = event.id;
      onEvent(event);
    }
  };

  const keep = (event) => {
    if (event.id === undefined) {
      kept = [];
      start = null;
      return;
    }
    if (start === null) start = event.id;
    else kept.push(event);
    if (kept.length > MAX_MISSED) start = kept.shift().id;
  };

  const lead = () => {
    kept = [];
    start = last;
    channel?.postMessage({ kind: 'leader', last });
    socket = keepSocket({
      orgId,
      since: () => last,
      onEvent(event) {
        keep(event);
        channel?.postMessage({ kind: 'event', event, after: last });
        take(event);
      },
      onState(next) {
        channel?.postMessage({ kind: 'state', state: next });
        setState(next);
      },
    });
  };

  const ask = () => {
    if (hasAsked) return;
    hasAsked = true;
    channel?.postMessage({ kind: 'ask', tab, since: last });
  };

  /** Send what a tab missed: the events after its last one, or null if they are not all here. */
  const answer = (message) => {
    const isCovered = message.since === null || (start !== null && !isAfter(start, message.since));
    const events = isCovered ? kept.filter((event) => message.since !== null && isAfter(event.id, message.since)) : null;
    channel?.postMessage({ kind: 'missed', tab: message.tab, events, last, state });
  };

  const listen = ({ data: message }) => {
    if (!isJoined) return;
    if (socket) {
      if (message.kind === 'ask') answer(message);
    } else if (message.kind === 'event') {
      if (last !== null && message.after !== null && isAfter(message.after, last)) ask();
      else take(message.event);
    } else if (message.kind === 'state') {
      setState(message.state);
    } else if (message.kind === 'leader') {
      hasAsked = false;
      if (message.last !== null && isAfter(message.last, last)) ask();
    } else if (message.kind === 'missed' && message.tab === tab) {
      hasAsked = false;
      setState(message.state);
      if (message.events) {
        message.events.forEach(take);
      } else {
        last = message.last;
        onEvent({ event: 'reset' });
      }
    }
  };

  const join = () => {
    if (isJoined) return;
    isJoined = true;
    setState('reconnecting');
    if (!channel) {
      lead();
      return;
    }
    hasAsked = false;
    ask();
    waiting = new AbortController();
    const { signal } = waiting;
    navigator.locks
      .request(name, { signal }, () => {
        if (signal.aborted) return undefined;
        lead();
        return new Promise((resolve) => (release = () => resolve(undefined)));
      })
      .catch((error) => {
        if (error.name !== 'AbortError') throw error;
      });
  };

  const leave = () => {
    if (!isJoined) return;
    isJoined = false;
    waiting.abort();
    socket?.close();
    socket = null;
    release();
    setState('paused');
  };

  const watch = () => {
    clearTimeout(hideTimer);
    if (document.hidden) {
      if (isJoined) hideTimer = setTimeout(leave, HIDDEN_MS);
      else setState('paused');
    } else {
      join();
      socket?.wake();
    }
  };
  const wake = () => socket?.wake();
  const restore = (event) => event.persisted && watch();

  channel?.addEventListener('message', listen);
  document.addEventListener('visibilitychange', watch);
  addEventListener('online', wake);
  addEventListener('pagehide', leave);
  addEventListener('pageshow', restore);
  watch();
  return {
    close() {
      clearTimeout(hideTimer);
      leave();
      channel?.close();
      document.removeEventListener('visibilitychange', watch);
      removeEventListener('online', wake);
      removeEventListener('pagehide', leave);
      removeEventListener('pageshow', restore);
    },
  };
}
