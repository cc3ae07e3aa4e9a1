/** Wall mode: the whole screen, large type and no controls, for the room where the game is run. */
import { _ } from '../core/i18n.js';
import { toast } from '../core/toast.js';

const CLASS = 'is-wall';

/** Return a function that enters or leaves wall mode. */
export function createWall() {
  let wakeLock = null;
  const set = (isWall) => {
    if (document.body.classList.contains(CLASS) === isWall) return;
    document.body.classList.toggle(CLASS, isWall);
    if (isWall) {
      scrollTo({ top: 0 });
      toast(_('Press Escape to leave.'));
      // The screen stays on, where the browser allows it.
      navigator.wakeLock?.request('screen').then((lock) => (wakeLock = lock)).catch(() => {});
    } else {
      wakeLock?.release();
      wakeLock = null;
    }
  };
  document.addEventListener('fullscreenchange', () => document.fullscreenElement || set(false));
  document.addEventListener('keydown', ({ key }) => key === 'Escape' && set(false));
  return () => {
    const isWall = !document.body.classList.contains(CLASS);
    // Some browsers, such as those of phones, have no full screen: large type is there anyway.
    if (isWall) document.documentElement.requestFullscreen?.().catch(() => {});
    else if (document.fullscreenElement) document.exitFullscreen();
    set(isWall);
  };
}
