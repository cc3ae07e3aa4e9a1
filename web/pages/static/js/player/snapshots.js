/**
 * What the server last returned about a player, for views that are opened offline. IndexedDB has it, never a cache of
 * responses, and it belongs to one player: another one does not see it.
 */
import { useCallback, useEffect, useState } from '../../vendor/hooks.js';
import { Problem } from '../core/api.js';
import { deletePersonal, readPersonal, SNAPSHOTS, storePersonal } from './personal.js';
import { currentPlayer } from './session.js';

/**
 * Load what a view shows: first its snapshot, then the current state.
 * @template T
 * @param {string} name
 * @param {(player: any) => Promise<T>} load
 * @returns {{status: 'loading' | 'signed-out' | 'failed' | 'ready', data?: T, player?: any, problem?: Problem,
 *   offlineSince?: number, reload: () => void, change: (data: T) => void}}
 */
export function useLoaded(name, load) {
  const [state, setState] = useState(/** @type {any} */ ({ status: 'loading' }));
  const [attempt, setAttempt] = useState(0);
  useEffect(() => {
    let isCurrent = true;
    const show = (next) => isCurrent && setState(next);
    const run = async () => {
      const player = await currentPlayer();
      if (!player) {
        await deletePersonal();
        return show({ status: 'signed-out' });
      }
      const isKept = SNAPSHOTS.includes(name);
      const id = player.player_id;
      if (!(await readPersonal('owner', id))) {
        await deletePersonal();
        await storePersonal('owner', id, {});
        await storePersonal('player', id, player);
      }
      const snapshot = isKept ? await readPersonal(`snapshot-${name}`, id) : null;
      // Not after the first time: what a claim just changed must not come back for a moment.
      if (snapshot && !attempt) show({ status: 'ready', data: snapshot.data, player });
      try {
        const data = await load(player);
        if (isKept) await storePersonal(`snapshot-${name}`, id, { at: Date.now(), data });
        return show({ status: 'ready', data, player });
      } catch (error) {
        const problem = error instanceof Problem ? error : new Problem(500, null);
        if (problem.status === 401) return show({ status: 'signed-out' });
        if (snapshot) return show({ status: 'ready', data: snapshot.data, player, offlineSince: snapshot.at });
        return show({ status: 'failed', problem, player });
      }
    };
    run();
    return () => {
      isCurrent = false;
    };
  }, [attempt]);
  const reload = useCallback(() => {
    setState((before) => (before.status === 'ready' ? before : { status: 'loading' }));
    setAttempt((before) => before + 1);
  }, []);
  const change = useCallback((data) => setState((before) => ({ ...before, data })), []);
  return { ...state, reload, change };
}
