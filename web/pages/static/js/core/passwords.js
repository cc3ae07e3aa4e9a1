/** The buttons that show and hide a password. */
import { _ } from './i18n.js';
import { iconPath } from './icon.js';

for (const button of document.querySelectorAll('[data-reveal]')) {
  const input = /** @type {HTMLInputElement} */ (button.parentElement?.querySelector('input'));
  button.addEventListener('click', () => {
    const shown = input.type === 'text';
    input.type = shown ? 'password' : 'text';
    button.setAttribute('aria-pressed', String(!shown));
    button.setAttribute('aria-label', shown ? _('Show password') : _('Hide password'));
    button.querySelector('use')?.setAttribute('href', iconPath(shown ? 'eye' : 'eye-off'));
  });
}
