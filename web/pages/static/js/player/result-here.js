/**
 * Show a result in the place of the code's page, which saves the load of another page. The address is the one of the
 * result's own page, which a reload opens. Back shows the code again.
 */
import { _ } from '../core/i18n.js';
import { showResult } from './flow.js';

const RESULT = /^\/play\/result\/([^/]+)$/;

const main = /** @type {HTMLElement} */ (document.getElementById('main'));
const tabs = /** @type {HTMLElement} */ (document.querySelector('.tab-bar'));
const before = { nodes: [...main.childNodes], title: document.title };
/** @type {typeof import('./views/result.js') | undefined} */
let view;
/** @type {{nonce: string, unmount: () => void} | undefined} */
let shown;

/** Show the result of a scan. Load its page if the script of the view cannot be loaded. @param {string} nonce */
export async function showResultHere(nonce) {
  if (!(await load())) return showResult(nonce);
  if (shown?.nonce === nonce) return;
  history.pushState(null, '', `/play/result/${nonce}`);
  arrive(nonce);
}

async function load() {
  view ??= await import('./views/result.js').catch(() => undefined);
  return view;
}

addEventListener('popstate', async () => {
  const [, nonce] = RESULT.exec(location.pathname) ?? [];
  if (nonce === shown?.nonce) return;
  if (!nonce) leave();
  else if (await load()) arrive(nonce);
  else location.reload();
});

/** @param {string} nonce */
function arrive(nonce) {
  shown?.unmount();
  const place = document.createElement('div');
  place.id = 'view';
  place.className = 'stack';
  const element = document.createElement('div');
  element.className = 'view view-result';
  place.append(element);
  main.replaceChildren(place);
  frame(`${_('Result')} · Waymark`, true);
  scrollTo(0, 0);
  shown = { nonce, unmount: /** @type {typeof import('./views/result.js')} */ (view).mount(element, [nonce]) };
}

function leave() {
  shown?.unmount();
  shown = undefined;
  main.replaceChildren(...before.nodes);
  frame(before.title, false);
  const heading = main.querySelector('h1');
  heading?.setAttribute('tabindex', '-1');
  heading?.focus({ preventScroll: true });
}

/** @param {string} title @param {boolean} hasTabs */
function frame(title, hasTabs) {
  document.title = title;
  tabs.hidden = !hasTabs;
  document.body.classList.toggle('without-tabs', !hasTabs);
}
