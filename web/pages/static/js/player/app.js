/**
 * The router of `/play/*`: one page, whose views follow the path. Browsers without the Navigation API load the page again.
 *
 * Each view exports `mount(element, params)`, and may return a function that unmounts it.
 */
import { _ } from '../core/i18n.js';
import { icon } from '../core/icon.js';
import './install.js';
import { keepFlushing } from './outbox.js';
import { keepUpToDate } from './updates.js';

/** @type {[RegExp, string, string, () => Promise<{mount: (element: HTMLElement, params: string[]) => any}>][]} */
const VIEWS = [
  [/^\/play\/?$/, 'home', _('Play'), () => import('./views/home.js')],
  [/^\/play\/scan$/, 'scan', _('Scan'), () => import('./views/scan.js')],
  [/^\/play\/result\/([^/]+)$/, 'result', _('Result'), () => import('./views/result.js')],
  [/^\/play\/puzzle\/([^/]+)$/, 'puzzle', _('Puzzle'), () => import('./views/puzzle.js')],
  [/^\/play\/inventory$/, 'inventory', _('Inventory'), () => import('./views/inventory.js')],
  [/^\/play\/redeem\/(.+)$/, 'redeem', _('Redeem'), () => import('./views/redeem.js')],
  [/^\/play\/quests$/, 'quests', _('Quests'), () => import('./views/quests.js')],
  [/^\/play\/history$/, 'history', _('History'), () => import('./views/history.js')],
];
/** What the shell shows at the address of a printed code, which it replaces without a connection. */
const PRINTED = /** @type {typeof VIEWS[0]} */ ([/$/, 'code', _('Game code'), () => import('./views/code.js')]);
const TAB_OF = { result: 'scan', puzzle: 'home', redeem: 'inventory', history: 'home' };

const root = /** @type {HTMLElement} */ (document.getElementById('view'));
let shown = 0;
let shownPath = '';
/** @type {(() => void) | undefined} */
let unmount;

/** @param {string} pathname */
const find = (pathname) => VIEWS.find(([pattern]) => pattern.test(pathname));

/**
 * Show the view of a path. A view that was left before it was loaded is not shown.
 * @param {string} pathname
 * @param {{isFirst?: boolean}} [options]
 */
async function show(pathname, { isFirst = false } = {}) {
  const found = find(pathname) ?? (isFirst ? PRINTED : undefined);
  if (!found) return;
  const [pattern, name, title, load] = found;
  const mine = ++shown;
  shownPath = pathname;
  markTab(TAB_OF[name] ?? name);
  document.title = `${title} · Waymark`;
  const element = document.createElement('div');
  element.className = `view view-${name}`;
  let mounted;
  try {
    const view = await load();
    if (mine !== shown) return;
    leave(element);
    const params = (pattern.exec(pathname) ?? []).slice(1).map(decodeURIComponent);
    mounted = await view.mount(element, params);
  } catch (error) {
    if (mine !== shown) return;
    leave(element);
    element.replaceChildren(...problem());
    console.warn(error);
  }
  if (mine !== shown) {
    if (typeof mounted === 'function') mounted();
    return;
  }
  unmount = typeof mounted === 'function' ? mounted : undefined;
  if (!isFirst) focusHeading(element);
}

/** Unmount the last view, and make room for the next. @param {HTMLElement} next */
function leave(next) {
  unmount?.();
  unmount = undefined;
  root.replaceChildren(next);
}

/** @param {string} name */
function markTab(name) {
  for (const tab of document.querySelectorAll('.tab')) {
    if (/** @type {HTMLElement} */ (tab).dataset.view === name) tab.setAttribute('aria-current', 'page');
    else tab.removeAttribute('aria-current');
  }
}

/** Move the focus to the heading of a new view, so that screen readers speak it. @param {HTMLElement} element */
function focusHeading(element) {
  const heading = element.querySelector('h1');
  heading?.setAttribute('tabindex', '-1');
  heading?.focus({ preventScroll: true });
}

/** What is shown when the script of a view cannot be loaded. */
function problem() {
  const heading = document.createElement('h1');
  heading.textContent = _("Couldn't load this.");
  const again = document.createElement('button');
  again.className = 'button button-large';
  again.type = 'button';
  again.append(icon('refresh-cw'), _('Try again'));
  again.addEventListener('click', () => location.reload());
  return [heading, again];
}

/** @type {any} */ (globalThis).navigation?.addEventListener('navigate', (event) => {
  const url = new URL(event.destination.url);
  const isPlain = event.canIntercept && !event.hashChange && event.downloadRequest === null && !event.formData;
  if (!isPlain || event.navigationType === 'reload' || url.origin !== location.origin || !find(url.pathname)) return;
  event.intercept({ focusReset: 'manual', handler: () => show(url.pathname) });
});

// After a reload of a result, Back leads to the page of its code in this document.
addEventListener('popstate', () => location.pathname !== shownPath && !find(location.pathname) && location.reload());

show(location.pathname, { isFirst: true });
keepFlushing();
keepUpToDate();
