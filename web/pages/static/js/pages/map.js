/** The map of all codes. The codes in its view are also a list, in which the arrow keys choose one. */
import { Problem, get } from '../core/api.js';
import { _, ngettext } from '../core/i18n.js';
import { icon } from '../core/icon.js';
import { centerOf, createMap } from '../map.js';
import { findExtent } from '../staff/extent.js';
import { showFailure, showProgress } from '../staff/fragment.js';
import { suggestTags } from '../staff/tags.js';

const TYPING_MS = 250;
const MOVING_MS = 150;
const LISTED = 200;
const TYPES = { item_drop: 'gift', encounter: 'puzzle', transportation: 'route' };

const root = document.getElementById('code-map');
if (root) mount(root);

/** @param {HTMLElement} root */
async function mount(root) {
  const filters = /** @type {HTMLFormElement} */ (document.getElementById('filters'));
  const list = /** @type {HTMLElement} */ (document.getElementById('places'));
  const count = /** @type {HTMLElement} */ (document.getElementById('places-count'));
  const chosen = /** @type {HTMLElement} */ (document.getElementById('chosen'));
  const base = document.body.dataset.base;
  const api = `/api/organizations/${root.dataset.orgId}/qr-codes`;
  suggestTags(/** @type {HTMLInputElement} */ (document.getElementById('tag')), api);
  /** @param {import('../staff/extent.js').View} wanted @param {AbortSignal} [signal] */
  const fetchPlaces = (wanted, signal) => get(`${api}/places?${new URLSearchParams({ bbox: wanted.bbox, zoom: String(wanted.zoom), ...values(filters) })}`, { signal });
  const first = await findExtent(fetchPlaces).catch(() => null);
  const map = await createMap(/** @type {HTMLElement} */ (document.getElementById('map')), { center: centerOf(first) });
  /** @type {import('../staff/extent.js').View} */
  let view;
  let loading = new AbortController();
  let timer = 0;
  /** @type {any[][]} */
  let rows = [];
  let selected = null;

  const load = async (wanted) => {
    clearTimeout(timer);
    loading.abort();
    loading = new AbortController();
    history.replaceState(null, '', query(filters) ? `?${query(filters)}` : location.pathname);
    const done = showProgress();
    try {
      const places = await fetchPlaces(wanted, loading.signal);
      // Null if the request was given up while its response arrived.
      if (places) show(places);
    } catch (error) {
      if (error instanceof Problem) showFailure(root, error, () => load(view));
      else if (error.name !== 'AbortError') throw error;
    } finally {
      done();
    }
  };
  const show = (places) => {
    map.setCodes(places);
    rows = places.kind === 'codes' ? places.rows.toSorted((a, b) => a[1].localeCompare(b[1])) : [];
    const total = places.kind === 'codes' ? rows.length : places.rows.reduce((sum, row) => sum + row[2], 0);
    count.textContent = ngettext('%(num)s code', '%(num)s codes', total);
    if (places.kind === 'cells') count.textContent += ` · ${_('Zoom in to see them one by one.')}`;
    else if (total > LISTED) count.textContent += ` · ${_('The first %(listed)s are listed.', { listed: LISTED })}`;
    else if (!total && query(filters)) count.textContent = _('No codes match these filters.');
    list.hidden = !rows.length;
    list.replaceChildren(...rows.slice(0, LISTED).map(option));
    if (selected && !rows.some((row) => row[0] === selected)) choose(null);
    else mark();
  };
  const option = (/** @type {any[]} */ [id, code, , , , type, active]) => {
    const item = document.createElement('li');
    Object.assign(item, { id: `place-${id}`, className: 'list-item', role: 'option' });
    item.dataset.id = id;
    const text = document.createElement('span');
    Object.assign(text, { className: 'mono list-main', textContent: code });
    item.append(icon(TYPES[type] ?? 'external-link'), text);
    if (!active) {
      const badge = document.createElement('span');
      Object.assign(badge, { className: 'badge', textContent: _('Off') });
      item.append(badge);
    }
    return item;
  };
  const mark = () => {
    for (const item of list.children) item.setAttribute('aria-selected', String(/** @type {HTMLElement} */ (item).dataset.id === selected));
    const item = selected && document.getElementById(`place-${selected}`);
    if (item) list.setAttribute('aria-activedescendant', item.id);
    else list.removeAttribute('aria-activedescendant');
    item?.scrollIntoView({ block: 'nearest' });
  };
  const choose = (id) => {
    selected = id;
    mark();
    map.select(id);
    chosen.replaceChildren();
    const row = rows.find((each) => each[0] === id);
    if (!row) return;
    const link = document.createElement('a');
    Object.assign(link, { href: `${base}/codes/${id}`, className: 'button' });
    link.append(icon('qr-code'), _('Open %(code)s', { code: row[1] }));
    chosen.append(link);
  };

  list.setAttribute('role', 'listbox');
  list.setAttribute('aria-labelledby', 'places-heading');
  list.tabIndex = 0;
  list.addEventListener('click', (event) => {
    const item = /** @type {HTMLElement | null} */ (/** @type {Element} */ (event.target).closest('[role=option]'));
    if (item) choose(item.dataset.id);
  });
  list.addEventListener('dblclick', () => selected && location.assign(`${base}/codes/${selected}`));
  list.addEventListener('keydown', (event) => {
    const items = /** @type {HTMLElement[]} */ ([...list.children]);
    const at = items.findIndex((item) => item.dataset.id === selected);
    const next = { ArrowDown: at + 1, ArrowUp: at < 0 ? 0 : at - 1, Home: 0, End: items.length - 1 }[event.key];
    if (event.key === 'Enter' && selected) location.assign(`${base}/codes/${selected}`);
    if (next === undefined) return;
    event.preventDefault();
    const item = items[Math.min(items.length - 1, Math.max(0, next))];
    if (item) choose(item.dataset.id);
  });
  map.onSelect(choose);
  filters.addEventListener('input', () => {
    clearTimeout(timer);
    timer = setTimeout(() => load(view), TYPING_MS);
  });
  filters.addEventListener('submit', (event) => event.preventDefault());

  if (first) show(first);
  map.fit();
  map.onView((moved) => {
    view = moved;
    clearTimeout(timer);
    timer = setTimeout(() => load(view), MOVING_MS);
  });
}

/** @param {HTMLFormElement} form */
function values(form) {
  return Object.fromEntries(/** @type {[string, string][]} */ ([...new FormData(form)]).filter(([, value]) => value !== ''));
}

/** @param {HTMLFormElement} form */
function query(form) {
  return String(new URLSearchParams(values(form)));
}
