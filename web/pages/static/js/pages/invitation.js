/** An invitation: accept it and go to the organization, or decline it. */
import { Problem, post } from '../core/api.js';
import { showTimes } from '../core/time.js';

showTimes();

const card = /** @type {HTMLElement} */ (document.getElementById('invitation'));
const path = `/invitations/${encodeURIComponent(String(card.dataset.token))}`;

/** @param {string} id @param {string} action @param {string} next where to go afterwards */
function bind(id, action, next) {
  const button = document.getElementById(id);
  button?.addEventListener('click', async () => {
    if (button.getAttribute('aria-busy') === 'true') return;
    button.setAttribute('aria-busy', 'true');
    try {
      await post(`${path}/${action}`);
      location.assign(next);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      const summary = /** @type {HTMLElement} */ (card.querySelector('.form-error'));
      summary.textContent = error.message;
      summary.hidden = false;
      button.removeAttribute('aria-busy');
    }
  });
}

bind('accept', 'accept', '/o');
bind('decline', 'decline', '/');
