/** The JSON API with the session cookie. Every failure is a Problem with a sentence that a person can read. */
import { _ } from './i18n.js';

export { sleep, uuid4 } from './request.js';

export class Problem extends Error {
  /**
   * @param {number} status 0 if there was no response
   * @param {any} body
   * @param {number} [retryAfter] seconds
   */
  constructor(status, body, retryAfter) {
    super(body?.detail || _('There is no connection. Try again.'));
    this.status = status;
    this.errors = body?.errors || [];
    this.body = body;
    this.requestId = body?.request_id;
    this.retryAfter = retryAfter;
  }
}

/**
 * Send a request. Return the decoded body and the response.
 * @param {string} method
 * @param {string} path
 * @param {{body?: any, headers?: Record<string, string>, signal?: AbortSignal, timeout?: number}} [options]
 */
export async function send(method, path, { body, headers = {}, signal, timeout = 30000 } = {}) {
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
  const text = response.status === 204 ? '' : await response.text().catch(() => '');
  let content = null;
  try {
    content = text ? JSON.parse(text) : null;
  } catch {
    content = { detail: _('The server sent an unexpected response.') };
  }
  if (!response.ok) throw new Problem(response.status, content, Number(response.headers.get('Retry-After')) || undefined);
  return { content, response };
}

/** @param {string} path */
export const get = async (path, options = {}) => (await send('GET', path, options)).content;
/** @param {string} path @param {any} [body] */
export const post = async (path, body, options = {}) => (await send('POST', path, { ...options, body })).content;
