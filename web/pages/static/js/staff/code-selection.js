/** The selected codes of the list, and the bar that changes all of them at once. */
import { Problem, send } from '../core/api.js';
import { _, ngettext } from '../core/i18n.js';
import { icon } from '../core/icon.js';
import { toast } from '../core/toast.js';
import { confirmed } from './dialogs.js';

const STORAGE_KEY = 'waymark-selection';
const MAX_SELECTED = 10000;
/** Above this number, the number itself must be typed before a deletion. */
const MAX_UNTYPED = 20;

/**
 * @param {string} api the path of the organization's codes
 * @param {() => Promise<void>} onChange called after the selected codes have changed
 */
export function bindCodeSelection(api, onChange) {
  const bar = document.getElementById('bulk');
  if (!bar) return { refresh: () => {} };
  const count = /** @type {HTMLElement} */ (bar.querySelector('[data-count]'));
  const matching = /** @type {HTMLElement} */ (bar.querySelector('[data-select-matching]'));
  const problem = /** @type {HTMLElement} */ (bar.querySelector('[data-problem]'));
  /** @type {Set<string>} */
  const ids = new Set();
  /** All that match the filters, also those that are not loaded. */
  let all = false;
  /** The filters at the time of the selection: others start a new one. */
  let query = location.search;
  /** @type {HTMLInputElement | null} */
  let last = null;

  const boxes = () => /** @type {HTMLInputElement[]} */ ([...document.querySelectorAll('[data-select]')]);
  const idOf = (/** @type {Element} */ box) => String(/** @type {HTMLElement} */ (box.closest('tr')).dataset.id);
  const total = () => Number(document.getElementById('rows')?.dataset.total);
  const size = () => (all ? total() : ids.size);

  document.addEventListener('click', (event) => {
    const box = /** @type {HTMLInputElement} */ (event.target);
    if (!(box instanceof HTMLInputElement) || box.type !== 'checkbox') return;
    if ('selectPage' in box.dataset) boxes().forEach((each) => mark(each, box.checked));
    else if ('select' in box.dataset) range(box, event.shiftKey).forEach((each) => mark(each, box.checked));
    else return;
    all = false;
    last = box;
    refresh();
  });
  matching.addEventListener('click', () => {
    all = true;
    refresh();
    /** @type {HTMLElement} */ (bar.querySelector('[data-bulk]')).focus();
  });
  bar.addEventListener('click', async (event) => {
    const target = /** @type {Element} */ (event.target);
    const button = /** @type {HTMLElement | null} */ (target.closest('[data-bulk]'));
    if (target.closest('[data-clear]')) clear();
    if (!button || button.getAttribute('aria-busy') === 'true') return;
    button.setAttribute('aria-busy', 'true');
    problem.hidden = true;
    try {
      await run(String(button.dataset.bulk));
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      problem.replaceChildren(icon('triangle-alert'), error.errors[0]?.message || error.message);
      problem.hidden = false;
    } finally {
      button.removeAttribute('aria-busy');
    }
  });

  /** @param {HTMLInputElement} box @param {boolean} checked */
  function mark(box, checked) {
    box.checked = checked;
    if (checked) ids.add(idOf(box));
    else ids.delete(idOf(box));
  }

  /** The boxes from the last one that was clicked to this one, with Shift. @param {HTMLInputElement} box @param {boolean} shift */
  function range(box, shift) {
    const shown = boxes();
    const [from, to] = [last ? shown.indexOf(last) : -1, shown.indexOf(box)].sort((a, b) => a - b);
    return shift && from >= 0 ? shown.slice(from, to + 1) : [box];
  }

  function clear() {
    ids.clear();
    all = false;
    refresh();
    document.getElementById('rows')?.focus();
  }

  /** Show the selection, also in rows that were loaded since. Other filters clear it. */
  function refresh() {
    if (query !== location.search) {
      ids.clear();
      all = false;
      query = location.search;
    }
    const shown = boxes();
    shown.forEach((box) => (box.checked = all || ids.has(idOf(box))));
    const page = /** @type {HTMLInputElement | null} */ (document.querySelector('[data-select-page]'));
    const checked = shown.filter((box) => box.checked).length;
    if (page) page.checked = checked > 0 && checked === shown.length;
    if (page) page.indeterminate = checked > 0 && checked < shown.length;
    /** @type {HTMLElement} */ (bar).hidden = size() === 0;
    problem.hidden = true;
    count.textContent = ngettext('%(count)s code selected', '%(count)s codes selected', size(), { count: size() });
    matching.hidden = all || ids.size < shown.length || total() <= ids.size || total() > MAX_SELECTED;
    matching.textContent = _('Select all %(total)s matching codes', { total: total() });
  }

  /** The body of a request for the selected codes. */
  function selected() {
    if (!all) return { ids: [...ids] };
    /** @type {Record<string, any>} */
    const filter = {};
    for (const [name, value] of new URLSearchParams(query)) {
      if (['q', 'tag', 'scan_type'].includes(name)) filter[name] = value;
      if (name === 'active') filter.active = value === 'true';
    }
    return { filter };
  }

  /** @param {string} action */
  async function run(action) {
    const number = size();
    const body = { ...selected(), ...(all ? { expected: number } : {}) };
    if (action === 'render' || action === 'labels') {
      sessionStorage.setItem(STORAGE_KEY, JSON.stringify(selected()));
      location.assign(`${document.body.dataset.base}/renders/new?output=${action === 'labels' ? 'label_sheet' : 'zip'}`);
      return;
    }
    if (action === 'delete') {
      const heading = ngettext('Delete %(count)s code?', 'Delete %(count)s codes?', number, { count: number });
      const typed = number > MAX_UNTYPED ? String(number) : undefined;
      if (!(await confirmed({ heading, text: _('Their scans are kept.'), action: _('Delete'), danger: true, typed }))) return;
      const { content } = await send('DELETE', api, { body });
      toast(ngettext('%(count)s code deleted', '%(count)s codes deleted', content.deleted, { count: content.deleted }));
    } else {
      const changes = action === 'tag' ? await askForTag() : { set: { active: action === 'on' } };
      if (!changes) return;
      const { content } = await send('PATCH', api, { body: { ...body, ...changes } });
      toast(ngettext('%(count)s code changed', '%(count)s codes changed', content.changed, { count: content.changed }));
    }
    ids.clear();
    all = false;
    await onChange();
  }

  return { refresh };
}

/** @returns {Promise<{add_tags?: string[], remove_tags?: string[]} | null>} */
function askForTag() {
  const dialog = /** @type {HTMLDialogElement} */ (document.getElementById('tag-dialog'));
  const input = /** @type {HTMLInputElement} */ (document.getElementById('bulk-tag'));
  input.value = '';
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => {
      const tag = input.value.trim();
      const field = dialog.returnValue === 'remove' ? 'remove_tags' : 'add_tags';
      resolve(tag && dialog.returnValue ? { [field]: [tag] } : null);
    }, { once: true });
  });
}
