/** Sign in. */
import { bindForm } from '../core/form.js';
import { _ } from '../core/i18n.js';
import { duration } from '../core/time.js';
import '../core/passwords.js';

const form = /** @type {HTMLFormElement} */ (document.getElementById('sign-in'));

bindForm(form, {
  path: '/session',
  messages: {
    401: _('Incorrect username or password.'),
    429: (problem) => _('Too many attempts for this username. Try again in %(time)s.', { time: duration(problem.retryAfter || 60) }),
  },
  onSuccess: () => location.assign(form.dataset.next || '/'),
});
