/** The menu of a code in the list. One element serves all rows: it is filled when it opens. */
import { Problem, send } from '../core/api.js';
import { _ } from '../core/i18n.js';
import { toast } from '../core/toast.js';
import { copyText } from './copy.js';
import { confirmed } from './dialogs.js';

/**
 * @param {string} api the path of the organization's codes
 * @param {(id: string) => Promise<void>} onChange called with the id of a code that has changed, or was deleted
 */
export function bindCodeMenu(api, onChange) {
  const menu = /** @type {HTMLElement} */ (document.getElementById('code-menu'));
  const base = document.body.dataset.base;
  /** @type {HTMLElement} */
  let row;
  /** @type {HTMLElement} */
  let opener;

  document.addEventListener('click', (event) => {
    const button = /** @type {HTMLElement | null} */ (/** @type {Element} */ (event.target).closest('[popovertarget="code-menu"]'));
    if (!button) return;
    // Opened here and not by the browser, which would move the focus later than a quick key.
    event.preventDefault();
    const isOpen = menu.matches(':popover-open');
    menu.hidePopover();
    if (isOpen && opener === button) return;
    opener = button;
    row = /** @type {HTMLElement} */ (button.closest('tr'));
    fill();
    menu.showPopover();
    place(menu, opener);
    items()[0]?.focus();
  });
  menu.addEventListener('keydown', (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const all = items();
    all[(all.indexOf(/** @type {HTMLElement} */ (document.activeElement)) + step + all.length) % all.length].focus();
  });
  menu.addEventListener('click', async (event) => {
    const item = /** @type {HTMLElement | null} */ (/** @type {Element} */ (event.target).closest('.menu-item'));
    if (!item) return;
    menu.hidePopover();
    opener.focus();
    try {
      await run(item.dataset.action);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      toast(error.message);
    }
  });

  const items = () => /** @type {HTMLElement[]} */ ([...menu.querySelectorAll('.menu-item:not([hidden])')]);

  function fill() {
    const { id, code } = row.dataset;
    for (const item of /** @type {NodeListOf<HTMLAnchorElement>} */ (menu.querySelectorAll('a'))) {
      const { page, image } = item.dataset;
      if (page) item.href = `${base}/codes/${id}${page}`;
      if (image) {
        item.href = `${api}/${id}/image?${image}`;
        // A rotating code has no image that stays valid.
        item.hidden = 'rotating' in row.dataset;
      }
      if ('copyOf' in item.dataset) item.href = `${base}/codes/new?copy_of=${id}`;
    }
    menu.querySelector('[data-action=turn-off]')?.toggleAttribute('hidden', !('active' in row.dataset));
    menu.querySelector('[data-action=turn-on]')?.toggleAttribute('hidden', 'active' in row.dataset);
    menu.setAttribute('aria-label', _('Actions for %(code)s', { code: String(code) }));
  }

  /** @param {string | undefined} action */
  async function run(action) {
    const id = String(row.dataset.id);
    const code = String(row.dataset.code);
    if (action === 'copy') {
      await copyText(String(row.dataset.url));
    } else if (action === 'turn-off' || action === 'turn-on') {
      await send('PATCH', `${api}/${id}`, { body: { active: action === 'turn-on' } });
      toast(action === 'turn-on' ? _('%(code)s is on', { code }) : _('%(code)s is off', { code }));
      await onChange(id);
    } else if (action === 'delete') {
      const question = { heading: _('Delete %(code)s?', { code }), text: _('Its scans are kept. Printed copies stop working.') };
      if (!(await confirmed({ ...question, action: _('Delete'), danger: true }))) return;
      await send('DELETE', `${api}/${id}`);
      toast(_('%(code)s is deleted', { code }));
      await onChange(id);
    }
  }
}

/** Show a popover at its button, within the window. @param {HTMLElement} menu @param {HTMLElement} opener */
function place(menu, opener) {
  const at = opener.getBoundingClientRect();
  const { width, height } = menu.getBoundingClientRect();
  const below = at.bottom + 4;
  const top = below + height <= innerHeight ? below : Math.max(8, at.top - height - 4);
  menu.style.setProperty('inset', `${top}px auto auto ${Math.max(8, Math.min(at.right, innerWidth - 8) - width)}px`);
}
