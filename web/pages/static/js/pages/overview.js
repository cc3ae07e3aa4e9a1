/** The overview of an organization: new scans show by themselves, and the first one ends the checklist. */
import { _ } from '../core/i18n.js';
import { icon } from '../core/icon.js';
import { sleep } from '../core/request.js';
import { showTimes } from '../core/time.js';
import { connectLive } from '../live.js';
import { replaceFragment } from '../staff/fragment.js';

const REFRESH_SECONDS = 3;
const CLOCK_MS = 30000;
const region = () => /** @type {HTMLElement} */ (document.getElementById('overview'));
const checklist = document.getElementById('checklist');
const printed = /** @type {HTMLElement | null} */ (checklist?.querySelector('[data-printed]') ?? null);
let isLoading = false;
let isStale = false;

bindPrinted();
setInterval(() => showTimes(region()), CLOCK_MS);
connectLive({
  orgId: String(region().dataset.orgId),
  since: region().dataset.since,
  onEvent: ({ event }) => {
    if (event === 'scan_result' || event === 'qr_scan' || event === 'reset') refresh();
  },
});

/** Load the figures and lists again, at most once in a few seconds. */
async function refresh() {
  isStale = true;
  if (isLoading) return;
  isLoading = true;
  for (; isStale; await sleep(REFRESH_SECONDS)) {
    isStale = false;
    const focused = /** @type {HTMLAnchorElement | null} */ (region().querySelector('a:focus'))?.getAttribute('href');
    await replaceFragment(location.pathname, 'overview');
    if (focused) /** @type {HTMLElement | null} */ (region().querySelector(`a[href="${CSS.escape(focused)}"]`))?.focus();
    if (Number(region().dataset.scans) > 0) finish();
  }
  isLoading = false;
}

/** The first scan is there: the checklist says so, and is not shown again. */
function finish() {
  const step = checklist?.querySelector('[data-scan]:not(.is-done)');
  if (!step) return;
  checklist?.querySelectorAll('li').forEach(markDone);
  const line = /** @type {HTMLElement} */ (step.querySelector('[role=status]'));
  line.className = '';
  line.textContent = _('Your scan arrived. That was all.');
  for (const rest of step.querySelectorAll('.hint, img')) rest.remove();
}

/** @param {Element} step */
function markDone(step) {
  step.classList.add('is-done');
  step.querySelector('.step-mark')?.replaceChildren(icon('check'));
}

/** That a code was printed is known to this browser only. */
function bindPrinted() {
  if (!printed) return;
  const key = `waymark-printed-${printed.dataset.printed}`;
  if (localStorage.getItem(key)) markDone(printed);
  for (const link of printed.querySelectorAll('[data-print]')) {
    link.addEventListener('click', () => {
      localStorage.setItem(key, '1');
      markDone(printed);
    });
  }
}
