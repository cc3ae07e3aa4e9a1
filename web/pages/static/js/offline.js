/**
 * The service worker. `/sw.js` imports it and names the release: the files of the player's pages, which are stored on
 * installation, and the paths of printed codes.
 *
 * Pages come from the server while there is one, so every visit counts there. Without an answer, one shell shows them all.
 * Nothing personal is stored: what a player owns is in IndexedDB.
 */
import { flush } from './player/outbox.js';

const SHELL = '/play';
const PREFIX = 'waymark-';
const CODE_SECONDS = 3;
const PLAY_SECONDS = 2;
/** The server, or the proxy in front of it, is down or overloaded. */
const DOWN = [502, 503, 504];

const worker = /** @type {any} */ (globalThis);

/**
 * @param {{base: string, files: string[], languages: Record<string, string>, code_paths: string[]}} release
 *   `base`: the directory of its static files; `languages`: the catalog of each language
 */
export function start({ base, files, languages, code_paths: codePaths }) {
  const cacheName = PREFIX + base;
  const match = (request) => caches.match(request, { cacheName, ignoreVary: true });
  /** Return the seconds that a page may take before the shell is shown. 0: the page is not the player's. */
  const patience = (path) => {
    if (path === SHELL || path.startsWith(`${SHELL}/`)) return PLAY_SECONDS;
    return codePaths.some((prefix) => path.toLowerCase().startsWith(`${prefix}/`)) ? CODE_SECONDS : 0;
  };

  worker.addEventListener('install', (event) => event.waitUntil(install(event)));
  worker.addEventListener('activate', (event) => event.waitUntil(activate()));
  worker.addEventListener('message', ({ data }) => data === 'skipWaiting' && worker.skipWaiting());
  worker.addEventListener('sync', (event) => event.waitUntil(flush()));
  worker.addEventListener('fetch', (event) => {
    const { method, mode, url } = event.request;
    const { origin, pathname } = new URL(url);
    if (method !== 'GET' || origin !== location.origin) return;
    if (pathname.startsWith(base)) event.respondWith(fromCache(event.request));
    else if (mode === 'navigate' && patience(pathname)) event.respondWith(fromServer(event, patience(pathname)));
  });

  async function install(event) {
    const cache = await caches.open(cacheName);
    const shell = await fetch(SHELL, { cache: 'no-store' });
    if (!(await store(SHELL, shell.clone()))) throw new Error('The shell is of another release.');
    const [, language] = /<html lang="([^"]+)"/.exec(await shell.text()) ?? [];
    const catalog = languages[language];
    await cache.addAll(catalog ? [...files, catalog] : files);
    await bypass(event);
  }

  async function activate() {
    const old = (await caches.keys()).filter((name) => name.startsWith(PREFIX) && name !== cacheName);
    await Promise.all(old.map((name) => caches.delete(name)));
    await worker.clients.claim();
  }

  /**
   * Let everything else pass by without waking this worker, where the browser can. Only there are pages requested while
   * the worker starts: elsewhere this would request every other page twice.
   */
  async function bypass(event) {
    if (!event.addRoutes) return;
    const handled = [`${base}*`, SHELL, `${SHELL}/*`, ...codePaths.map((path) => `${path}/*`)];
    const or = handled.map((pathname) => ({ urlPattern: new URLPattern({ pathname }, { ignoreCase: true }) }));
    try {
      await event.addRoutes([{ condition: { not: { or } }, source: 'network' }]);
      await worker.registration.navigationPreload?.enable();
    } catch {
      // An older form of the rules: the worker declines such requests itself.
    }
  }

  /** Static files never change below their directory. */
  async function fromCache(request) {
    const found = await match(request);
    if (found) return found;
    const response = await fetch(request);
    if (response.status === 200) await (await caches.open(cacheName)).put(request, response.clone());
    return response;
  }

  /** Return the page of the server. If it is slow or unreachable, return the shell. */
  async function fromServer(event, seconds) {
    const network = request(event).catch(() => null);
    const answer = await Promise.race([network, new Promise((resolve) => setTimeout(resolve, seconds * 1000, null))]);
    if (answer && !DOWN.includes(answer.status)) {
      if (new URL(event.request.url).pathname === SHELL) event.waitUntil(store(SHELL, answer.clone()));
      return answer;
    }
    return (await match(SHELL)) ?? answer ?? (await network) ?? Response.error();
  }

  async function request(event) {
    const preloaded = await event.preloadResponse;
    // Firefox answers a failed preload with a response of the type "error", which would become its error page.
    if (preloaded && preloaded.type !== 'error') return preloaded;
    return fetch(event.request);
  }

  /** Store a shell of this release, and return true. One of another release would need files that are not stored. */
  async function store(path, response) {
    const isOurs = response.status === 200 && !response.redirected && (await response.clone().text()).includes(base);
    if (isOurs) await (await caches.open(cacheName)).put(path, response);
    return isOurs;
  }
}
