/** Continue the session of another device, whose secret is in the fragment of the URL. */
import { Problem, post } from '../core/api.js';
import { _ } from '../core/i18n.js';

const text = /** @type {HTMLElement} */ (document.getElementById('continue-text'));
const button = /** @type {HTMLButtonElement} */ (document.getElementById('continue-button'));
const secret = location.hash.slice(1);
const SECRET_LENGTH = 43;

// The secret leaves the address bar and the history.
history.replaceState(null, '', location.pathname);

try {
  if (secret.length !== SECRET_LENGTH) throw new Problem(410, null);
  const { username } = await post('/session/transfers/preview', { secret });
  text.textContent = _('Continue as %(name)s on this device?', { name: username });
  button.hidden = false;
  button.focus();
} catch (error) {
  showProblem(error);
}

button.addEventListener('click', async () => {
  button.setAttribute('aria-busy', 'true');
  try {
    await post('/session/transfers/accept', { secret });
    location.replace('/');
  } catch (error) {
    button.hidden = true;
    showProblem(error);
  } finally {
    button.removeAttribute('aria-busy');
  }
});

function showProblem(error) {
  const expired = _('This link has expired. Create a new one on your other device.');
  text.textContent = [410, 422].includes(error.status) ? expired : error.message;
}
