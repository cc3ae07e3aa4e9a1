/** A code that was scanned, typed or opened: what it is, and the button that checks in. */
import { useEffect, useRef, useState } from '../../vendor/hooks.js';
import { Problem, get } from '../core/api.js';
import { _ } from '../core/i18n.js';
import { checkIn } from './flow.js';
import { signedInPlayer } from './outbox.js';
import { Icon, html } from './parts.js';

const LOOKUP_MS = 4000;

/**
 * @typedef {{qrCode: string, code: string, description: string, located: boolean | null}} Found
 *   `located`: whether it needs a position, null if that is unknown
 */

/** @param {{found: Found, onAgain: () => void}} properties */
export function FoundCode({ found, onAgain }) {
  const [status, setStatus] = useState('');
  const [isBusy, setBusy] = useState(false);
  const heading = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => heading.current?.focus(), []);
  const submit = async () => {
    if (isBusy) return;
    setBusy(true);
    const { qrCode, description, located } = found;
    if (!(await checkIn({ qrCode, description, located, onStatus: setStatus }))) setBusy(false);
  };
  return html`
    <div class="poster">
      <h1 tabindex="-1" ref=${heading}>${found.description || _('Game code')}</h1>
      <p class="hint">${_('Code')} <code>${found.code}</code></p>
      ${found.located && html`
        <p class="hint row"><${Icon} name="map-pin" /><span>${_("We use your location once, to check that you're at the code. It's saved with your scan. You can export or delete it in Account.")}</span></p>`}
    </div>
    <div class="push-down stack">
      <p class="hint" role="status">${status}</p>
      <button class="button button-primary button-large" type="button" aria-busy=${String(isBusy)} onClick=${submit}><span>${_('Check in')}</span></button>
      <button class="button button-quiet button-large" type="button" onClick=${onAgain}>${_('Scan another')}</button>
    </div>`;
}

/**
 * Return what players may know of a code, or why it cannot be checked in. Only players may ask, and only online:
 * otherwise nothing is known, and the verdict will say it.
 * @param {string} code
 * @returns {Promise<{description: string, located: boolean | null} | {message: string, hint: string}>}
 */
export async function lookUp(code) {
  const unknown = { description: '', located: null };
  if (!(await signedInPlayer())) return unknown;
  try {
    const { description, requires_location: located } = await get(`/qr/${encodeURIComponent(code)}`, { timeout: LOOKUP_MS });
    return { description, located };
  } catch (error) {
    const status = error instanceof Problem ? error.status : 0;
    if (status === 404) return { message: _("We don't recognize this code"), hint: _('Damaged? Type the code printed next to it.') };
    if (status === 410) return { message: _('This code is no longer available.'), hint: _('Look for another one.') };
    return unknown;
  }
}
