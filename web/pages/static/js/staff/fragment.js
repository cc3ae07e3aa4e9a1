/** Parts of pages, loaded in place: the server renders the page again, and a part of it replaces the open one. */
import { Problem } from '../core/api.js';
import { _ } from '../core/i18n.js';
import { icon } from '../core/icon.js';
import { showTimes } from '../core/time.js';

const SHOW_BAR_MS = 150;

/**
 * Load a page of this site, and return the elements of it that match. Raise Problem.
 * XMLHttpRequest parses HTML into a document that runs no script, which Trusted Types allow.
 * @param {string} path @param {string} selector @param {AbortSignal} [signal]
 * @returns {Promise<Element[]>}
 */
export function loadFragment(path, selector, signal) {
  const url = new URL(path, location.href);
  url.searchParams.set('fragment', '');
  const request = new XMLHttpRequest();
  request.open('GET', url);
  request.responseType = 'document';
  const done = showProgress();
  return new Promise((resolve, reject) => {
    signal?.addEventListener('abort', () => request.abort());
    request.onload = () => {
      if (request.status >= 400 || new URL(request.responseURL).pathname !== url.pathname) {
        const status = request.status >= 400 ? request.status : 401;
        reject(new Problem(status, { request_id: request.getResponseHeader('X-Request-ID') }));
        return;
      }
      const found = [...(request.responseXML?.querySelectorAll(selector) ?? [])].map((element) => document.adoptNode(element));
      found.forEach((element) => showTimes(element));
      resolve(found);
    };
    request.onerror = () => reject(new Problem(0, null));
    request.onabort = () => reject(new DOMException('aborted', 'AbortError'));
    request.send();
  }).finally(done);
}

/** Replace the element with this id by that of another path. @param {string} path @param {string} id @param {AbortSignal} [signal] */
export async function replaceFragment(path, id, signal) {
  const open = /** @type {HTMLElement} */ (document.getElementById(id));
  open.setAttribute('aria-busy', 'true');
  try {
    const [element] = await loadFragment(path, `#${id}`, signal);
    document.getElementById(id)?.replaceWith(element);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    showFailure(open, error, () => replaceFragment(path, id));
  } finally {
    open.removeAttribute('aria-busy');
  }
}

/** Say in a region that it could not be loaded, with a button that tries again. */
export function showFailure(region, problem, tryAgain) {
  region.querySelector(':scope > .load-failure')?.remove();
  const box = document.createElement('div');
  box.className = 'banner banner-bad load-failure';
  box.setAttribute('role', 'alert');
  const text = document.createElement('span');
  text.textContent = _("Couldn't load this.");
  const button = document.createElement('button');
  Object.assign(button, { type: 'button', className: 'link-button', textContent: _('Try again') });
  button.addEventListener('click', () => {
    box.remove();
    tryAgain();
  });
  box.append(icon('triangle-alert'), text, button);
  if (problem.requestId) {
    const id = document.createElement('small');
    id.textContent = problem.requestId;
    box.append(id);
  }
  region.prepend(box);
}

/** Show the bar under the header if this takes long. Return a function that hides it. */
export function showProgress() {
  const bar = document.getElementById('loading');
  const timer = setTimeout(() => bar?.removeAttribute('hidden'), SHOW_BAR_MS);
  return () => {
    clearTimeout(timer);
    bar?.setAttribute('hidden', '');
  };
}
