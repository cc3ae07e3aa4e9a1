/** The JSON API with the session cookie. Every failure is a Problem with a sentence that a person can read. */
import { _, english } from './i18n.js';

export { sleep, uuid4 } from './request.js';

export class Problem extends Error {
  /**
   * @param {number} status 0 if there was no response
   * @param {any} body
   * @param {number} [retryAfter] seconds
   */
  constructor(status, body, retryAfter) {
    super(english(body?.detail) || sentence(status));
    this.status = status;
    this.errors = body?.errors || [];
    this.body = body;
    this.requestId = body?.request_id;
    this.retryAfter = retryAfter;
  }
}

/** What a page shows where it has no text of its own for a problem. @param {number} status */
function sentence(status) {
  if (status === 0) return _('There is no connection. Try again.');
  if (status === 401) return _('You were signed out. Sign in and try again.');
  if (status === 403 || status === 404) return _('This does not exist, or you may not see or change it.');
  if (status === 409) return _('This has changed in the meantime. Reload the page.');
  if (status === 410) return _('This is no longer available.');
  if (status === 422) return _('Something in this form is not right. Check it and try again.');
  if (status === 429 || status === 503) return _('Busy right now. Try again in a moment.');
  return _('Something went wrong. Try again.');
}

/** @type {() => Promise<boolean>} */
let signIn = async () => false;

/** Set what to do when the session has ended: return whether it is there again. @param {() => Promise<boolean>} ask */
export function onSignedOut(ask) {
  signIn = ask;
}

/** Ask to sign in again, where the session has ended. Return whether it is there again. */
export const signedInAgain = () => signIn();

/**
 * Send a request. Return the decoded body and the response.
 * @param {string} method
 * @param {string} path
 * @param {{body?: any, headers?: Record<string, string>, signal?: AbortSignal, timeout?: number, raw?: boolean}} [options] `raw`: leave the body of a success to the caller
 */
export async function send(method, path, { body, headers = {}, signal, timeout = 30000, raw = false } = {}) {
  const json = body !== undefined && !(body instanceof FormData);
  let response;
  try {
    response = await fetch(path, {
      method,
      credentials: 'same-origin',
      cache: 'no-store',
      headers: { Accept: 'application/json', ...(json ? { 'Content-Type': 'application/json' } : {}), ...headers },
      body: json ? JSON.stringify(body) : body,
      signal: signal || AbortSignal.timeout(timeout),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0, null);
  }
  if (raw && response.ok) return { content: null, response };
  const text = response.status === 204 ? '' : await response.text().catch(() => Promise.reject(new Problem(0, null)));
  let content = null;
  try {
    content = text ? JSON.parse(text) : null;
  } catch {
    throw new Problem(response.status, { detail: 'The server sent an unexpected response.' });
  }
  if (response.status === 401 && path !== '/session' && (await signIn())) return send(method, path, { body, headers, signal, timeout, raw });
  if (!response.ok) throw new Problem(response.status, content, Number(response.headers.get('Retry-After')) || undefined);
  return { content, response };
}

/** @param {string} path */
export const get = async (path, options = {}) => (await send('GET', path, options)).content;
/** @param {string} path @param {any} [body] */
export const post = async (path, body, options = {}) => (await send('POST', path, { ...options, body })).content;
