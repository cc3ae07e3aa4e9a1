/** The list of quests: each is turned on and off by its switch. */
import { Problem, send } from '../core/api.js';
import { _ } from '../core/i18n.js';
import { toast } from '../core/toast.js';
import { bindRows } from '../staff/rows.js';

const rows = /** @type {HTMLElement} */ (document.getElementById('rows'));

rows.addEventListener('click', async (event) => {
  const button = /** @type {HTMLElement | null} */ (/** @type {Element} */ (event.target).closest('[role=switch]'));
  if (!button || button.getAttribute('aria-busy') === 'true') return;
  const active = button.getAttribute('aria-checked') !== 'true';
  button.setAttribute('aria-busy', 'true');
  try {
    await send('PATCH', `/api/organizations/${rows.dataset.orgId}/quests/${button.dataset.quest}`, { body: { active } });
    button.setAttribute('aria-checked', String(active));
    toast(active ? _('Turned on. Scans advance it.') : _('Turned off. Progress of players is kept.'));
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    toast(error.message);
  } finally {
    button.removeAttribute('aria-busy');
  }
});
bindRows();
