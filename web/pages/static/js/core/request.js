/** What pages and the service worker share: requests without translations, the signed-in player, random ids. */

export const PLAYER_COOKIE = 'waymark_player';
const TIMEOUT_MS = 30000;

/**
 * Send a request. Status 0: there is no connection, or the response is not one of the API.
 * @param {string} method @param {string} path @param {{body?: any, headers?: Record<string, string>, timeout?: number}} [options] `timeout` in milliseconds
 * @returns {Promise<{status: number, body: any, retryAfter: number}>} `retryAfter` in seconds, 0 if none
 */
export async function ask(method, path, { body, headers = {}, timeout = TIMEOUT_MS } = {}) {
  try {
    const response = await fetch(path, {
      method,
      credentials: 'same-origin',
      cache: 'no-store',
      headers: { Accept: 'application/json', ...(body ? { 'Content-Type': 'application/json' } : {}), ...headers },
      body: body && JSON.stringify(body),
      signal: AbortSignal.timeout(timeout),
    });
    return {
      status: response.status,
      body: await response.json(),
      retryAfter: Number(response.headers.get('Retry-After')) || 0,
    };
  } catch {
    return { status: 0, body: null, retryAfter: 0 };
  }
}

/** Return the id of the signed-in player, read from a cookie: it is known offline too. */
export async function signedInPlayer() {
  if (!globalThis.document) return (await /** @type {any} */ (globalThis).cookieStore?.get(PLAYER_COOKIE))?.value || null;
  return new RegExp(`(?:^|; )${PLAYER_COOKIE}=([\\w-]+)`).exec(document.cookie)?.[1] ?? null;
}

/** Return a random UUID, version 4. `crypto.randomUUID` is missing on plain http. */
export function uuid4() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** Wait. @param {number} seconds */
export const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
