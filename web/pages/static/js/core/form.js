/**
 * Forms that send JSON. Field names are paths such as `reward.item`. Errors of the response appear at their fields.
 *
 * A form has `data-field` elements with an input and a `.field-error`, and a `.form-error` for everything else.
 */
import { Problem, send, sleep, uuid4 } from './api.js';
import { _, english } from './i18n.js';

const BUSY_RETRIES = 3;

/**
 * @param {HTMLFormElement} form
 * @param {{
 *   path: string | (() => string),
 *   method?: string,
 *   idempotent?: boolean,
 *   read?: (form: HTMLFormElement) => any,
 *   messages?: Record<number, string | ((problem: Problem) => string)>,
 *   onSuccess: (content: any) => void,
 *   onProblem?: (problem: Problem) => void,
 * }} options
 */
export function bindForm(form, { path, method = 'POST', idempotent = false, read = readForm, messages = {}, onSuccess, onProblem }) {
  const button = /** @type {HTMLButtonElement} */ (form.querySelector('[type=submit]'));
  let key = uuid4();
  form.noValidate = true;
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    if (button.getAttribute('aria-busy') === 'true') return;
    clearErrors(form);
    button.setAttribute('aria-busy', 'true');
    try {
      const headers = idempotent ? { 'Idempotency-Key': key } : {};
      const { content } = await sendWhileBusy(form, () => send(method, typeof path === 'function' ? path() : path, { body: read(form), headers }));
      key = uuid4();
      onSuccess(content);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      const message = messages[error.status];
      showProblem(form, error, typeof message === 'function' ? message(error) : message);
      onProblem?.(error);
    } finally {
      button.removeAttribute('aria-busy');
    }
  });
}

/** Repeat a request while the server is busy, and say so. */
async function sendWhileBusy(form, request) {
  for (let tries = 0; ; tries += 1) {
    try {
      return await request();
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 503 || tries >= BUSY_RETRIES) throw error;
      for (let left = error.retryAfter || 3; left > 0; left -= 1) {
        showSummary(form, _('Busy right now. Trying again in %(seconds)s s.', { seconds: left }));
        await sleep(1);
      }
    }
  }
}

/** Return the values of a form as an object. Empty fields are left out. @param {HTMLFormElement} form */
export function readForm(form) {
  const body = {};
  for (const element of form.elements) {
    const input = /** @type {HTMLInputElement} */ (element);
    if (!input.name || (input.type === 'radio' && !input.checked)) continue;
    let value = /** @type {any} */ (input.value);
    if (input.type === 'checkbox') value = input.checked;
    else if (value === '') continue;
    else if (input.dataset.type === 'number') value = Number(value.replace(',', '.'));
    const path = input.name.split('.');
    let target = body;
    for (const part of path.slice(0, -1)) target = target[part] ??= {};
    target[path[path.length - 1]] = value;
  }
  return body;
}

/** @param {HTMLFormElement} form */
export function clearErrors(form) {
  form.querySelectorAll('[aria-invalid]').forEach((input) => input.removeAttribute('aria-invalid'));
  form.querySelectorAll('.field-error, .form-error').forEach((error) => error.replaceChildren());
  form.querySelectorAll('.form-error').forEach((error) => error.setAttribute('hidden', ''));
}

/**
 * Show a problem: at its fields where it names them, else above the form.
 * @param {HTMLFormElement} form @param {Problem} problem @param {string} [message]
 */
export function showProblem(form, problem, message) {
  const rest = [];
  let first = null;
  for (const { loc, message: text } of problem.errors) {
    const named = form.elements.namedItem(loc.replace(/^(body|form|query)\./, ''));
    const input = named instanceof RadioNodeList ? named[0] : named;
    const error = input instanceof HTMLElement ? input.closest('.field')?.querySelector('.field-error') : null;
    if (!(input instanceof HTMLElement) || !error) {
      rest.push(english(text));
      continue;
    }
    input.setAttribute('aria-invalid', 'true');
    error.textContent = english(text) || _('Check this field.');
    first ??= input;
  }
  if (message || rest.length || !problem.errors.length) showSummary(form, message || rest.join(' ').trim() || problem.message);
  if (problem.status === 401 || !first) first = /** @type {HTMLElement | null} */ (form.querySelector('[type=password]')) || first;
  first?.focus();
}

/** @param {HTMLFormElement} form @param {string} text */
function showSummary(form, text) {
  const summary = /** @type {HTMLElement} */ (form.querySelector('.form-error'));
  summary.textContent = text;
  summary.hidden = false;
}
