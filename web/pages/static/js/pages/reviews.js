/** Release and annul scans: in the queue, one or several after each other, and on the page of a scan. */
import { Problem, get, post } from '../core/api.js';
import { _, ngettext } from '../core/i18n.js';
import { icon } from '../core/icon.js';
import { signedInPlayer } from '../core/request.js';
import { toast } from '../core/toast.js';
import { loadFragment, replaceFragment } from '../staff/fragment.js';
import { shortcut } from '../staff/keys.js';
import { already, ask, askBeyondStock, done } from '../staff/review-words.js';
import { bindRows } from '../staff/rows.js';

/** @typedef {import('../staff/review-words.js').Action} Action */

const { base } = document.body.dataset;
const { org } = /** @type {HTMLElement} */ (document.querySelector('[data-org]')).dataset;
const scans = `/api/organizations/${org}/scans`;
/** Held scans that the navigation counts. */
const MAX_HELD = 999;
let isBusy = false;

/** The page of a scan. Null in the queue. */
const page = () => document.getElementById('scan');
const rows = () => /** @type {HTMLElement[]} */ ([...document.querySelectorAll('tr[data-scan]')]);
const box = (row) => /** @type {HTMLInputElement} */ (row.querySelector('[data-check]'));
const selected = () => rows().filter((row) => box(row).checked);
const focused = () => /** @type {HTMLElement | null} */ (document.activeElement?.closest('tr[data-scan]') ?? null);

/** Return the scans to review: that of the page, else the selected ones, else the one with the focus. @param {Action} action */
function targets(action) {
  const open = page();
  if (open) return open.querySelector(`[data-review=${action}]`) ? [open] : [];
  const row = focused();
  return selected().length || !row ? selected() : [row];
}

/** Review the chosen scans one after the other, up to the first one that fails. @param {Action} action */
async function review(action) {
  const chosen = targets(action);
  if (!chosen.length && !page()) toast(_('Select a scan first.'));
  if (isBusy || !chosen.length || !(await ask(action, chosen.map(({ dataset }) => dataset)))) return;
  isBusy = true;
  document.querySelectorAll('[data-review]').forEach((button) => button.setAttribute('aria-busy', 'true'));
  let [count, problem] = [0, ''];
  try {
    for (const { dataset } of chosen) {
      problem = await decide(action, dataset);
      if (problem) break;
      count += 1;
    }
  } finally {
    isBusy = false;
  }
  if (count) toast(done(action, count));
  if (problem) showProblem(problem, chosen.length - count);
  await refresh();
}

/** Return why a scan was not reviewed, in a sentence. Empty if it was. @param {Action} action @param {DOMStringMap} scan */
async function decide(action, { scan, player = '' }, force = false) {
  try {
    const { reviewed_by: reviewer } = await post(`${scans}/${scan}/${action}`, force ? { force } : undefined);
    // A repeated decision changes nothing: the first one may be of another member.
    return reviewer === (await signedInPlayer()) ? '' : already(await stateOf(scan));
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (problem.status !== 409) return problem.message;
    const state = await stateOf(scan);
    if (state.status !== 'held') return already(state) || problem.message;
    return !force && action === 'release' && (await askBeyondStock(player)) ? decide(action, { scan, player }, true) : problem.message;
  }
}

/** Return the state of a scan, from its page. Empty if it cannot be opened now. @returns {Promise<DOMStringMap>} */
async function stateOf(scan) {
  const [element] = await loadFragment(`${base}/reviews/${scan}`, '#scan').catch(() => []);
  return /** @type {HTMLElement | undefined} */ (element)?.dataset ?? {};
}

/** Show how it is now: the page or the queue, and the number of held scans in the navigation. */
async function refresh() {
  const id = page() ? 'scan' : 'rows';
  await replaceFragment(location.pathname, id);
  document.dispatchEvent(new Event('scan-replaced'));
  const next = document.querySelector(page() ? '#scan [data-next], #scan h1' : '#rows .row-link, #rows h2');
  if (next instanceof HTMLElement) {
    if (!next.matches('a')) next.tabIndex = -1;
    next.focus();
  }
  const { held } = await get(`${scans}/held/count`).catch(() => ({}));
  if (held === undefined) return;
  for (const badge of document.querySelectorAll(`a[href="${base}/reviews"] .badge`)) {
    const count = /** @type {ChildNode} */ (badge.lastChild);
    if (held) count.textContent = held > MAX_HELD ? `${MAX_HELD}+` : held;
    else badge.remove();
  }
}

/** Say why it stopped. @param {string} problem @param {number} left */
function showProblem(problem, left) {
  document.querySelector('.review-problem')?.remove();
  const banner = document.createElement('p');
  banner.className = 'banner banner-bad review-problem';
  banner.setAttribute('role', 'alert');
  const text = document.createElement('span');
  text.textContent = left > 1 ? `${problem} ${ngettext('%(num)s other scan was not reviewed.', '%(num)s other scans were not reviewed.', left - 1)}` : problem;
  banner.append(icon('triangle-alert'), text);
  (document.getElementById('rows') ?? page())?.before(banner);
}

/** Move to the next or the previous scan: the focus in the queue, or the page. @param {1 | -1} step */
function move(step) {
  const open = page();
  if (open) {
    const path = step === 1 ? open.dataset.older : open.dataset.newer;
    if (path) location.assign(path);
    return;
  }
  const all = rows();
  const row = focused();
  const next = row ? all[all.indexOf(row) + step] : all[0];
  /** @type {HTMLElement | null | undefined} */ (next?.querySelector('.row-link'))?.focus();
}

function showSelected() {
  const { length } = selected();
  const all = /** @type {HTMLInputElement | null} */ (document.querySelector('[data-check-all]'));
  const words = /** @type {HTMLElement | null} */ (document.querySelector('[data-selected]'));
  if (!all || !words) return;
  all.checked = length === rows().length;
  all.indeterminate = length > 0 && !all.checked;
  words.hidden = !length;
  document.querySelectorAll('button[data-review]').forEach((button) => button.toggleAttribute('disabled', !length));
  words.textContent = ngettext('%(num)s selected', '%(num)s selected', length);
}

bindRows({ onChange: showSelected });
showSelected();
document.addEventListener('click', ({ target }) => {
  const button = /** @type {HTMLElement | null} */ (/** @type {Element} */ (target).closest('[data-review]'));
  if (button) review(/** @type {Action} */ (button.dataset.review));
});
document.addEventListener('change', ({ target }) => {
  const all = /** @type {HTMLInputElement} */ (target);
  if (all.matches('[data-check-all]')) rows().forEach((row) => (box(row).checked = all.checked));
  if (all.matches('[data-check], [data-check-all]')) showSelected();
});
if (document.querySelector('[data-review], [data-older], [data-newer]')) {
  shortcut('j', _('Next scan'), () => move(1));
  shortcut('k', _('Previous scan'), () => move(-1));
}
if (document.querySelector('[data-review=release]')) shortcut('r', _('Release'), () => review('release'));
if (document.querySelector('[data-review=annul]')) shortcut('a', _('Annul'), () => review('annul'));
