/** Create an account, or turn a guest into one. */
import { bindForm } from '../core/form.js';
import { _ } from '../core/i18n.js';
import '../core/passwords.js';

const form = /** @type {HTMLFormElement} */ (document.getElementById('create-account'));

bindForm(form, {
  path: form.dataset.path || '/session/register',
  idempotent: form.dataset.path !== '/session/upgrade',
  messages: { 409: _('That username is taken.') },
  onProblem: (problem) => {
    if (problem.status === 409) /** @type {HTMLInputElement} */ (form.elements.namedItem('username')).focus();
  },
  onSuccess: () => location.assign(form.dataset.next || '/'),
});
