/** What the views of the player share: Preact with htm, icons, empty states, problems. */
import htm from '../../vendor/htm.js';
import { h, render } from '../../vendor/preact.js';
import { _ } from '../core/i18n.js';
import { iconPath } from '../core/icon.js';
import { shortTime } from '../core/time.js';
import { contourPaths } from './contour.js';

export const html = htm.bind(h);

/** Return the `mount` of a view that is a component. Its properties are made from the parts of the path. */
export const mounts = (Component, properties = (/** @type {string[]} */ _params) => ({})) => (element, params = []) => {
  render(html`<${Component} ...${properties(params)} />`, element);
  return () => render(null, element);
};

/** "spy_gadget" → "spy gadget" @param {string} item */
export const itemName = (item) => item.replaceAll('_', ' ').trim() || item;

/** @param {{name: string}} properties */
export const Icon = ({ name }) => html`<svg class="icon" aria-hidden="true"><use href=${iconPath(name)} /></svg>`;

/** Contour lines, drawn from an id: the same id has the same lines. @param {{id: string}} properties */
export const Contour = ({ id }) => html`
  <svg class="contour" viewBox="0 0 200 120" preserveAspectRatio="xMidYMid slice" aria-hidden="true">
    ${contourPaths(id).map((path) => html`<path d=${path} />`)}
  </svg>`;

/** @param {{id?: string, title: string, line?: string, children?: any}} properties An id draws contour lines. */
export const Empty = ({ id, title, line, children }) => html`
  <div class="empty">
    ${id && html`<${Contour} id=${id} />`}
    <p class="empty-title">${title}</p>
    ${line && html`<p>${line}</p>`}
    ${children}
  </div>`;

/** @param {{problem: import('../core/api.js').Problem, onRetry: () => void}} properties */
export const Failed = ({ problem, onRetry }) => html`
  <div class="empty" role="alert">
    <${Icon} name=${problem.status === 0 ? 'wifi-off' : 'triangle-alert'} />
    <p class="empty-title">${_("Couldn't load this.")}</p>
    <p>${problem.message}</p>
    <button class="button" type="button" onClick=${onRetry}><${Icon} name="refresh-cw" />${_('Try again')}</button>
    ${problem.requestId && html`<p class="hint">${_('Request ID')} <code>${problem.requestId}</code></p>`}
  </div>`;

/** What a visitor without a player sees: a guest starts with the first scan. @param {{line: string}} properties */
export const SignedOut = ({ line }) => html`
  <${Empty} id="signed-out" title=${_('Scan your first code')} line=${line}>
    <a class="button button-primary" href="/play/scan"><${Icon} name="scan-qr-code" />${_('Scan a code')}</a>
    <p class="hint">${_('No account needed.')} <a href=${`/sign-in?next=${encodeURIComponent(location.pathname)}`}>${_('Sign in')}</a></p>
  </${Empty}>`;

/** @param {{at: number}} properties */
export const Offline = ({ at }) => html`
  <p class="banner" role="status">
    <${Icon} name="wifi-off" />
    <span>${_('You are offline. This is how it was on %(time)s.', { time: shortTime(at) })}</span>
  </p>`;

export const Loading = () => html`
  <div class="loading" role="status"><span class="visually-hidden">${_('Loading…')}</span>
    <div class="skeleton"></div><div class="skeleton"></div><div class="skeleton"></div>
  </div>`;

/** A ring that is filled by a share from 0 to 1. @param {{share: number, size?: 'large', children?: any}} properties */
export const Ring = ({ share, size, children }) => html`
  <div class=${size ? 'ring-box ring-large' : 'ring-box'}>
    <svg class="ring" viewBox="0 0 56 56" aria-hidden="true">
      <circle class="ring-track" cx="28" cy="28" r="25" />
      <circle class=${share > 0 ? 'ring-value' : 'ring-none'} cx="28" cy="28" r="25" pathLength="100"
        stroke-dasharray="100" stroke-dashoffset=${100 - 100 * Math.min(1, share)} />
    </svg>
    <div class="ring-text">${children}</div>
  </div>`;

/** Return the date of a time in the zone of this browser: 2026-11-28. @param {number | string | Date} at */
export function localDate(at) {
  const time = new Date(at);
  const two = (number) => String(number).padStart(2, '0');
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
}
