/** Register the service worker, and offer a new release when it has been downloaded. */
import { _ } from '../core/i18n.js';
import { policy } from '../core/policy.js';

const SCRIPT = '/sw.js';

/** Register when the page has been loaded. Without a manifest, `PWA=false`, there is nothing to register. */
export function keepUpToDate() {
  if (!navigator.serviceWorker || !document.querySelector('link[rel=manifest]')) return;
  if (document.readyState === 'complete') register();
  else addEventListener('load', register, { once: true });
}

async function register() {
  const url = /** @type {any} */ (policy.createScriptURL(SCRIPT));
  // Rejects where workers are off, as in private windows, or have no modules.
  const registration = await navigator.serviceWorker.register(url, { type: 'module', updateViaCache: 'none' }).catch(() => null);
  if (!registration) return;
  const offer = () => registration.waiting && navigator.serviceWorker.controller && offerReload(registration.waiting);
  offer();
  registration.addEventListener('updatefound', () => registration.installing?.addEventListener('statechange', offer));
  document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && registration.update().catch(() => {}));
}

/** @param {ServiceWorker} waiting */
function offerReload(waiting) {
  if (document.getElementById('new-version')) return;
  const banner = document.createElement('div');
  banner.id = 'new-version';
  banner.className = 'toast';
  const words = document.createElement('span');
  words.textContent = _('A new version is available.');
  const button = document.createElement('button');
  button.className = 'link-button';
  button.type = 'button';
  button.textContent = _('Reload');
  button.addEventListener('click', () => {
    navigator.serviceWorker.addEventListener('controllerchange', () => location.reload(), { once: true });
    waiting.postMessage('skipWaiting');
  });
  banner.append(words, button);
  document.getElementById('toasts')?.append(banner);
}
