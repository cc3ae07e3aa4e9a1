/** Preact with htm, and the parts that islands of staff pages share. */
import htm from '../../vendor/htm.js';
import { h } from '../../vendor/preact.js';
import { iconPath } from '../core/icon.js';

export const html = htm.bind(h);

/** @param {{name: string}} properties */
export const Icon = ({ name }) => html`<svg class="icon" aria-hidden="true"><use href=${iconPath(name)} /></svg>`;

/** @param {{tone: 'info' | 'bad' | 'held' | 'ok', icon: string, children?: any, role?: string}} properties */
export const Banner = ({ tone, icon, children, role }) => html`
  <div class=${`banner banner-${tone}`} role=${role}><${Icon} name=${icon} /><div class="banner-text">${children}</div></div>`;
