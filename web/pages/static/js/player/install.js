/** The offer to add Waymark to the home screen: after the second success, until the player declines. */
import { useEffect, useState } from '../../vendor/hooks.js';
import { _ } from '../core/i18n.js';
import { meta, setMeta } from './outbox.js';
import { html, Icon } from './parts.js';

const SUCCESSES = 2;
const DECLINED = 'install_declined';
/** The browser's own dialog, which it offers once per load. @type {any} */
let dialog = null;

addEventListener('beforeinstallprompt', (event) => {
  event.preventDefault();
  dialog = event;
});

const isInstalled = () => matchMedia('(display-mode: standalone)').matches || /** @type {any} */ (navigator).standalone === true;
/** Safari on iOS has no dialog: its Share menu adds pages. */
const hasShareMenu = () => 'standalone' in navigator && /iPhone|iPad|iPod/.test(navigator.userAgent);

/** @param {{successes: number}} properties */
export function InstallOffer({ successes }) {
  const [isDeclined, setDeclined] = useState(true);
  const [, setCount] = useState(0);
  useEffect(() => {
    meta(DECLINED).then((declined) => setDeclined(Boolean(declined)), () => null);
    const update = () => setCount((count) => count + 1);
    addEventListener('beforeinstallprompt', update);
    return () => removeEventListener('beforeinstallprompt', update);
  }, []);
  const isOffered = document.querySelector('link[rel=manifest]') && !isInstalled() && (dialog || hasShareMenu());
  if (isDeclined || successes < SUCCESSES || !isOffered) return null;
  const decline = () => {
    setDeclined(true);
    setMeta(DECLINED, true).catch(() => null);
  };
  const add = () => {
    dialog.prompt();
    dialog = null;
    setDeclined(true);
  };
  return html`
    <aside class="card stack">
      <h2 class="row"><${Icon} name="smartphone" />${_('Add Waymark to your home screen')}</h2>
      <p>${dialog ? _('It opens at once, also without a connection.') : _('Tap Share, then Add to Home Screen.')}</p>
      <div class="row">
        ${dialog && html`<button class="button button-primary" type="button" onClick=${add}>${_('Add')}</button>`}
        <button class="button button-quiet" type="button" onClick=${decline}>${_('Not now')}</button>
      </div>
    </aside>`;
}
