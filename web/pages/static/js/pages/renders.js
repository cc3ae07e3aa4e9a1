/** The list of renders: bars move, and a row shows its file once it is there. */
import { _ } from '../core/i18n.js';
import { loadFragment } from '../staff/fragment.js';
import { followRenders, isOpen } from '../staff/renders/follow.js';
import { bindRows } from '../staff/rows.js';

const rows = /** @type {HTMLElement} */ (document.getElementById('rows'));
const rowOf = (id) => rows.querySelector(`[data-render="${id}"]`);

async function show(render) {
  const row = rowOf(render.render_id);
  if (!isOpen(render)) {
    const [ended] = await loadFragment(location.href, `[data-render="${render.render_id}"]`);
    if (ended) row?.replaceWith(ended);
    return;
  }
  const bar = row?.querySelector('progress');
  if (!bar) return;
  bar.value = render.done + render.failed;
  /** @type {Element} */ (row?.querySelector('.percent')).textContent = _('%(percent)s%%', { percent: Math.floor(100 * render.progress) });
}

const open = /** @type {HTMLElement[]} */ ([...rows.querySelectorAll('[data-open]')]).map((row) => String(row.dataset.render));
if (open.length) followRenders(String(rows.dataset.orgId), open, show);
bindRows();
