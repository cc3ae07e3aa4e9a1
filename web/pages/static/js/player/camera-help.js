/** What to do when the camera shows no image: words for each state and platform. */
import { _ } from '../core/i18n.js';

/**
 * @param {import('./camera.js').State} state @param {string} [userAgent]
 * @returns {{title: string, steps: string[], canTry?: boolean} | null} null: the camera works, or waits for a tap
 */
export function cameraHelp(state, userAgent = navigator.userAgent) {
  if (state === 'denied') return { title: _('Camera access is blocked.'), steps: settingsPath(userAgent) };
  if (state === 'insecure')
    return { title: _('Location and camera need a secure connection (https).'), steps: [], canTry: false };
  if (state === 'missing') return { title: _('This device has no camera that we can use.'), steps: [] };
  if (state === 'busy') return { title: _('The camera is in use.'), steps: [_('Close other apps that use it, then try again.')] };
  if (state === 'paused') return { title: _('Camera paused. Tap to resume.'), steps: [] };
  if (state === 'unreadable')
    return { title: navigator.onLine ? _("This browser can't read codes.") : _('There is no connection. Try again.'), steps: [] };
  return null;
}

/** @param {string} userAgent */
function settingsPath(userAgent) {
  if (/iPhone|iPad|iPod/.test(userAgent)) {
    return [_('Tap the button beside the address, then Website Settings, Camera, Allow.')];
  }
  if (/Android/.test(userAgent)) return [_('Tap the icon to the left of the address, then Permissions. Turn Camera on.')];
  return [_('Click the icon to the left of the address and allow Camera.')];
}
