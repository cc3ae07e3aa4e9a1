/** Parts of pages, loaded in place: the server renders the page again, and a part of it replaces the open one. */
import { Problem, signedInAgain } from '../core/api.js';
import { _ } from '../core/i18n.js';
import { icon } from '../core/icon.js';
import { showTimes } from '../core/time.js';

const SHOW_BAR_MS = 150;
const BUSY = [429, 503];
const BUSY_SECONDS = 5;

/**
 * Load a page of this site, and return the elements of it that match. Raise Problem. If the session has ended, ask to sign in.
 * @param {string} path @param {string} selector @param {AbortSignal} [signal]
 * @returns {Promise<Element[]>}
 */
export async function loadFragment(path, selector, signal) {
  const done = showProgress();
  try {
    const page = await loadPage(path, signal);
    const found = [...(page?.querySelectorAll(selector) ?? [])].map((element) => document.adoptNode(element));
    found.forEach((element) => showTimes(element));
    return found;
  } catch (problem) {
    if (problem instanceof Problem && problem.status === 401 && (await signedInAgain())) return loadFragment(path, selector, signal);
    throw problem;
  } finally {
    done();
  }
}

/**
 * XMLHttpRequest parses HTML into a document that runs no script, which Trusted Types allow.
 * @param {string} path @param {AbortSignal} [signal] @returns {Promise<Document | null>}
 */
function loadPage(path, signal) {
  const url = new URL(path, location.href);
  url.searchParams.set('fragment', '');
  const request = new XMLHttpRequest();
  request.open('GET', url);
  request.responseType = 'document';
  return new Promise((resolve, reject) => {
    signal?.addEventListener('abort', () => request.abort());
    request.onload = () => {
      // A redirect leads to the page that signs in.
      const status = new URL(request.responseURL).pathname === url.pathname ? request.status : 401;
      const retryAfter = Number(request.getResponseHeader('Retry-After')) || undefined;
      if (status < 400) resolve(request.responseXML);
      else reject(new Problem(status, { request_id: request.getResponseHeader('X-Request-ID') }, retryAfter));
    };
    request.onerror = () => reject(new Problem(0, null));
    request.onabort = () => reject(new DOMException('aborted', 'AbortError'));
    request.send();
  });
}

/** Replace the element with this id by that of another path. @param {string} path @param {string} id @param {AbortSignal} [signal] */
export async function replaceFragment(path, id, signal) {
  const open = /** @type {HTMLElement} */ (document.getElementById(id));
  open.setAttribute('aria-busy', 'true');
  try {
    const [element] = await loadFragment(path, `#${id}`, signal);
    // A role that was lowered meanwhile may see the page without this part.
    if (!element) throw new Problem(404, null);
    document.getElementById(id)?.replaceWith(element);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    showFailure(open, error, () => replaceFragment(path, id));
  } finally {
    open.removeAttribute('aria-busy');
  }
}

/** Say in a region that it could not be loaded, with a button that tries again. A busy server is asked again by itself. */
export function showFailure(region, problem, tryAgain) {
  region.querySelector(':scope > .load-failure')?.remove();
  const box = document.createElement('div');
  box.className = 'banner banner-bad load-failure';
  box.setAttribute('role', 'alert');
  const text = document.createElement('span');
  text.textContent = _("Couldn't load this.");
  const button = document.createElement('button');
  Object.assign(button, { type: 'button', className: 'link-button', textContent: _('Try again') });
  const again = () => {
    box.remove();
    tryAgain();
  };
  button.addEventListener('click', again);
  if (BUSY.includes(problem.status)) countDown(text, problem.retryAfter ?? BUSY_SECONDS, again);
  box.append(icon('triangle-alert'), text, button);
  if (problem.requestId) {
    const id = document.createElement('small');
    id.textContent = problem.requestId;
    box.append(id);
  }
  region.prepend(box);
}

/** Count the seconds down, then go on, unless the text was removed before. A screen reader hears the first number only. */
function countDown(text, seconds, then) {
  const words = (left) => _('Busy right now. Trying again in %(seconds)s s.', { seconds: left });
  const spoken = Object.assign(document.createElement('span'), { className: 'visually-hidden', textContent: words(seconds) });
  const shown = Object.assign(document.createElement('span'), { ariaHidden: 'true', textContent: words(seconds) });
  text.replaceChildren(spoken, shown);
  const timer = setInterval(() => {
    seconds -= 1;
    shown.textContent = words(seconds);
    if (seconds > 0 && text.isConnected) return;
    clearInterval(timer);
    if (text.isConnected) then();
  }, 1000);
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
