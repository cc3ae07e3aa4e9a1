/**
 * Open renders, followed to their end: by the events of the socket, and by requests while no event comes. So neither a
 * worker, nor the relay, nor a lost connection freezes a bar.
 */
import { Problem, get } from '../../core/api.js';
import { connectLive } from '../../live.js';

const QUIET_MS = 2000;
const MOST = 200;
const IS_OPEN = ['queued', 'running'];
export const isOpen = ({ status }) => IS_OPEN.includes(status);

/**
 * @param {string} orgId @param {string[]} ids
 * @param {(render: {render_id: string, status: string, total: number, done: number, failed: number, progress: number}) => void} onRender
 */
export function followRenders(orgId, ids, onRender) {
  const open = new Set(ids);
  /** Codes that are done or failed, by render. A response is ahead of the events that are still on their way. */
  const counts = /** @type {Map<string, number>} */ (new Map());
  const path = `/api/organizations/${orgId}/renders`;
  let heardAt = 0;
  let isAsking = false;

  const take = (render) => {
    if (!open.has(render.render_id)) return;
    counts.set(render.render_id, render.done + render.failed);
    if (!isOpen(render)) open.delete(render.render_id);
    onRender(render);
    if (open.size) return;
    clearInterval(timer);
    live.close();
  };
  const ask = async () => {
    if (isAsking || Date.now() - heardAt < QUIET_MS) return;
    isAsking = true;
    try {
      const [only] = open;
      const renders = open.size === 1 ? [await get(`${path}/${only}`)] : (await get(`${path}?limit=${MOST}`)).items;
      renders.forEach(take);
    } catch (error) {
      // The next request tries again: a render goes on without its page.
      if (!(error instanceof Problem)) throw error;
    } finally {
      isAsking = false;
    }
  };
  const live = connectLive({
    orgId,
    onEvent(event) {
      if (event.event === 'reset') {
        heardAt = 0;
        ask();
      } else if (event.event === 'render_progress' || event.event === 'render_done') {
        if (isOpen(event) && event.done + event.failed < (counts.get(event.render_id) ?? 0)) return;
        if (open.has(event.render_id)) heardAt = Date.now();
        take(event);
      }
    },
    onState(state) {
      // What happened before the socket was open.
      if (state === 'live') ask();
    },
  });
  const timer = setInterval(ask, QUIET_MS / 2);
}
