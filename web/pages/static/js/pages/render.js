/** One render: its progress in the page and in the title, how long it still takes, and what to do with its file. */
import { Problem, get, send } from '../core/api.js';
import { _, ngettext } from '../core/i18n.js';
import { duration } from '../core/time.js';
import { toast } from '../core/toast.js';
import { confirmed } from '../staff/dialogs.js';
import { replaceFragment } from '../staff/fragment.js';
import { followRenders, isOpen } from '../staff/renders/follow.js';

const MIN_SAMPLE_MS = 1000;
const QUARTER = 25;
const { orgId, id, name } = /** @type {HTMLElement} */ (document.getElementById('render')).dataset;
const path = `/api/organizations/${orgId}/renders/${id}`;
/** @param {string} elementId @returns {any} */
const byId = (elementId) => document.getElementById(elementId);
let first = /** @type {{at: number, count: number} | null} */ (null);
let quarter = 0;

async function show(render) {
  if (!isOpen(render)) {
    document.title = `${name} · Waymark`;
    await replaceFragment(location.pathname, 'render');
    const heading = byId('render').querySelector('h2');
    speak(heading?.textContent.trim() ?? '');
    return;
  }
  const bar = byId('bar');
  if (!bar) return;
  const count = render.done + render.failed;
  const percent = Math.floor(100 * render.progress);
  bar.setAttribute('aria-valuenow', String(percent));
  bar.firstElementChild.value = count;
  byId('percent').textContent = _('%(percent)s%%', { percent });
  byId('count').textContent = ngettext('%(done)s of %(num)s code', '%(done)s of %(num)s codes', render.total, { done: count });
  byId('pace').textContent = pace(count, render.total);
  document.title = `${percent}% · Waymark`;
  if (Math.floor(percent / QUARTER) > quarter) {
    quarter = Math.floor(percent / QUARTER);
    speak(_('%(percent)s%% of the codes are rendered.', { percent: quarter * QUARTER }));
  }
}

/** Return how fast the codes are rendered since the page was opened, and how long the rest takes. */
function pace(count, total) {
  const now = Date.now();
  if (!count) return _('Waiting for a worker');
  first ??= { at: now, count };
  const seconds = (now - first.at) / 1000;
  if (seconds < MIN_SAMPLE_MS / 1000 || count <= first.count) return '';
  const rate = (count - first.count) / seconds;
  const left = Math.ceil((total - count) / rate);
  return _('%(rate)s codes a second, about %(time)s left', { rate: rate < 10 ? Math.round(rate * 10) / 10 : Math.round(rate), time: duration(left) });
}

function speak(text) {
  byId('live-region').textContent = text;
}

/** Send DELETE, then show the page as it is now. */
async function remove() {
  try {
    await send('DELETE', path);
    await replaceFragment(location.pathname, 'render');
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    toast(error.message);
  }
}

document.addEventListener('click', async (event) => {
  const target = /** @type {Element} */ (event.target);
  if (target.closest('#cancel')) {
    if (await confirmed({ heading: _('Cancel this render?'), text: _("You'll have to start over."), action: _('Cancel render'), danger: true })) await remove();
  } else if (target.closest('#delete-file')) {
    if (await confirmed({ heading: _('Delete this file?'), text: _('Render the codes again to get a new one.'), action: _('Delete file'), danger: true })) await remove();
  } else if (target.closest('#copy-link')) {
    const { download_url: url } = await get(path);
    await navigator.clipboard?.writeText(new URL(url, location.href).href);
    toast(_('Link copied'));
  }
});

if (byId('render').hasAttribute('data-open')) followRenders(String(orgId), [String(id)], show);
