/** A session that ended while a page was open: sign in again in a dialog, and what was being done goes on. */
import { Problem, onSignedOut, send } from '../core/api.js';
import { _ } from '../core/i18n.js';

/** @type {Promise<boolean> | null} */
let asking = null;

/** Ask once, however many requests failed. */
export function bindSignedOut() {
  onSignedOut(() => {
    asking ??= ask().finally(() => (asking = null));
    return asking;
  });
}

/** @returns {Promise<boolean>} whether the player is signed in again */
function ask() {
  const dialog = document.createElement('dialog');
  dialog.setAttribute('aria-labelledby', 'signed-out-heading');
  const form = document.createElement('form');
  form.className = 'stack';
  const heading = document.createElement('h2');
  heading.id = 'signed-out-heading';
  heading.textContent = _("You've been signed out.");
  const line = document.createElement('p');
  line.textContent = _('Sign in to continue; your changes on this page are still here.');
  const name = input(_('Username'), 'signed-out-username', 'text', 'username');
  const password = input(_('Password'), 'signed-out-password', 'password', 'current-password');
  const error = document.createElement('p');
  error.className = 'field-error';
  error.setAttribute('role', 'alert');
  const submit = document.createElement('button');
  Object.assign(submit, { className: 'button button-primary', type: 'submit', textContent: _('Sign in') });
  form.append(heading, line, ...name, ...password, error, submit);
  dialog.append(form);
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    let isSignedIn = false;
    form.addEventListener('submit', async (event) => {
      event.preventDefault();
      submit.setAttribute('aria-busy', 'true');
      try {
        await send('POST', '/session', { body: { username: name[1].value, password: password[1].value } });
        isSignedIn = true;
        dialog.close();
      } catch (problem) {
        if (!(problem instanceof Problem)) throw problem;
        error.textContent = problem.status === 401 ? _('Incorrect username or password.') : problem.message;
        password[1].focus();
      } finally {
        submit.removeAttribute('aria-busy');
      }
    });
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(isSignedIn);
    });
  });
}

/** @returns {[HTMLLabelElement, HTMLInputElement]} */
function input(text, id, type, autocomplete) {
  const label = document.createElement('label');
  label.htmlFor = id;
  label.textContent = text;
  const field = document.createElement('input');
  Object.assign(field, { className: 'input', id, type, autocomplete, required: true });
  return [label, field];
}
