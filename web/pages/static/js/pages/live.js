/** The live page: a feed of scans and a map, filled by the server and then by events. */
import { Problem } from '../core/api.js';
import { _, language } from '../core/i18n.js';
import { createCounts } from '../feed/counts.js';
import { createList } from '../feed/list.js';
import { createLookups } from '../feed/lookups.js';
import { createFeedMap } from '../feed/map.js';
import { createRows } from '../feed/rows.js';
import { createWall } from '../feed/wall.js';
import { connectLive } from '../live.js';
import { loadFragment, showFailure } from '../staff/fragment.js';
import { shortcut } from '../staff/keys.js';
import { suggestTags } from '../staff/tags.js';

/** @typedef {import('../feed/rows.js').Entry} Entry */

const TYPING_MS = 250;
const MAX_UNRESOLVED = 500;
const PHONE = '(max-width: 860px)';
const percent = new Intl.NumberFormat(language, { style: 'percent' });
const numbers = new Intl.NumberFormat(language);

/** @param {string} id @returns {any} */
const byId = (id) => document.getElementById(id);
const root = byId('live');
const filters = /** @type {HTMLFormElement} */ (byId('filters'));
const state = JSON.parse(root.dataset.state);
const api = `/api/organizations/${state.orgId}`;
const withNames = 'names' in root.dataset;
const counts = createCounts();
const rows = createRows(root, { base: document.body.dataset.base, withNames });
const list = createList({ list: byId('feed'), button: byId('show-new'), empty: byId('feed-empty') });
const map = createFeedMap({ section: byId('live-map'), box: byId('map'), follow: byId('follow'), api });
const lookups = createLookups({ api, onCode: showCode, onNames: showNames });
/** Entries whose code must be known before it is clear whether they match the filters. @type {Map<string, Entry>} */
const unresolved = new Map();
let isPaused = false;
let connection = 'reconnecting';
let loading = new AbortController();
let isReloading = false;
let typing = 0;

adopt(byId('feed'));
counts.reset(state.counts);
showCounts();
setInterval(showCounts, 1000);
suggestTags(byId('tag'), `${api}/qr-codes`);
connectLive({ orgId: state.orgId, since: state.position, onEvent: take, onState: showConnection });

/** Take an event. Any may come twice, so each only states what is true of a scan. */
function take(event) {
  if (event.event === 'reset') {
    reload();
  } else if (event.event === 'qr_scan') {
    if (!list.get(event.scan_id)) offer(toEntry(event, 'pending'));
  } else if (event.event === 'scan_result') {
    settle(event);
  }
}

function settle(event) {
  const known = list.get(event.scan_id) ?? unresolved.get(event.scan_id);
  const entry = toEntry(event, event.status);
  if (!event.previous_status && known?.status !== entry.status) {
    counts.add(Date.parse(event.at), event.status === 'success');
    map.pulse(entry.text, entry.status, map.knows(entry.text) ? undefined : lookups.code(entry.text));
  }
  if (!known) {
    // A review of a scan that is no longer in the list is no news of now.
    if (!event.previous_status) offer(entry);
    return;
  }
  Object.assign(known, { status: entry.status, reason: entry.reason, reward: entry.reward, quantity: entry.quantity });
  rows.update(known.element, known);
  if (!matchesStatus(known)) list.remove(known);
}

/** @returns {Entry} */
function toEntry(event, status) {
  const { scan_id: id, player_id: player = null, qr_code: text = '', at, reason, reward, quantity } = event;
  return { id, player, text, at, status, reason, reward, quantity, element: null };
}

/** Show a new entry if it matches the filters. @param {Entry} entry */
function offer(entry) {
  if (!matchesStatus(entry)) return;
  const code = lookups.code(entry.text);
  const { scan_type: type, tag } = values();
  entry.element = rows.create(entry);
  if (!code && (type || tag)) {
    unresolved.set(entry.id, entry);
    if (unresolved.size > MAX_UNRESOLVED) unresolved.delete(unresolved.keys().next().value);
  } else if (!code || matchesCode(code)) {
    add(entry, code);
  }
}

/** @param {Entry} entry @param {import('../feed/lookups.js').Code | undefined} code */
function add(entry, code) {
  if (code) rows.setCode(entry.element, code);
  const name = withNames && entry.player && lookups.name(entry.player);
  if (name) rows.setName(entry.element, name);
  list.add(entry);
}

/** @param {import('../feed/lookups.js').Code} code */
function showCode(code) {
  for (const entry of list.entries()) if (entry.text === code.text) rows.setCode(entry.element, code);
  for (const entry of unresolved.values()) {
    if (entry.text !== code.text) continue;
    unresolved.delete(entry.id);
    if (matchesStatus(entry) && matchesCode(code)) add(entry, code);
  }
}

/** @param {Map<string, string>} names */
function showNames(names) {
  for (const entry of list.entries()) {
    const name = names.get(entry.player ?? '');
    if (name) rows.setName(entry.element, name);
  }
}

/** @returns {Record<string, string>} */
function values() {
  return Object.fromEntries([...new FormData(filters)].map(([name, value]) => [name, String(value).trim()]));
}

/** @param {Entry} entry */
function matchesStatus({ status, text }) {
  const { status: wanted, failures, code } = values();
  return (failures ? status === 'failure' : !wanted || status === wanted) && (!code || text === code);
}

function matchesCode({ scan_type, tags }) {
  const { scan_type: type, tag } = values();
  return (!type || scan_type === type) && (!tag || tags.includes(tag));
}

/** Take the rows that the server has rendered. @param {Element} feed */
function adopt(feed) {
  for (const element of /** @type {Iterable<HTMLElement>} */ (feed.children)) list.adopt(read(element));
}

/** @param {HTMLElement} element @returns {Entry} */
function read(element) {
  const { scan, status, code } = element.dataset;
  const time = /** @type {HTMLTimeElement} */ (element.querySelector('time'));
  const player = /** @type {HTMLElement} */ (element.querySelector('[data-player]'));
  return { id: scan, status, text: code, at: time.dateTime, player: player?.dataset.player ?? null, element };
}

/** Load the last scans again: rows that are there are updated, and new ones come on top. */
async function reload({ isFresh = false } = {}) {
  if (isReloading && !isFresh) return;
  isReloading = true;
  loading.abort();
  loading = new AbortController();
  try {
    const [page] = await loadFragment(location.pathname + location.search, '#live', loading.signal);
    counts.reset(JSON.parse(/** @type {HTMLElement} */ (page).dataset.state).counts);
    const found = [...page.querySelectorAll('.feed-row')].map((element) => read(/** @type {HTMLElement} */ (element)));
    // Where no row is known, others are missing in between.
    const isGap = !found.some(({ id }) => list.get(id)) && !list.isHeld();
    if (isFresh || isGap) list.replace(found);
    else found.reverse().forEach(merge);
    showCounts();
    root.querySelector('.load-failure')?.remove();
  } catch (error) {
    if (error instanceof Problem) showFailure(byId('feed').parentElement, error, () => reload({ isFresh }));
    else if (error.name !== 'AbortError') throw error;
  } finally {
    isReloading = false;
  }
}

/** @param {Entry} entry */
function merge(entry) {
  const known = list.get(entry.id);
  if (!known) {
    list.add(entry);
    return;
  }
  known.element.replaceWith(entry.element);
  Object.assign(known, entry);
}

function filter() {
  clearTimeout(typing);
  const query = new URLSearchParams(Object.entries(values()).filter(([, value]) => value));
  history.replaceState(null, '', query.size ? `?${query}` : location.pathname);
  unresolved.clear();
  reload({ isFresh: true });
}
filters.addEventListener('input', ({ target }) => {
  clearTimeout(typing);
  typing = setTimeout(filter, /** @type {HTMLElement} */ (target).matches('[type=text]') ? TYPING_MS : 0);
});
filters.addEventListener('submit', (event) => {
  event.preventDefault();
  filter();
});

function showCounts() {
  const { minute, hour, rate } = counts.totals(Date.now());
  byId('last-minute').textContent = numbers.format(minute);
  byId('last-hour').textContent = numbers.format(hour);
  byId('success-rate').textContent = rate === null ? '-' : percent.format(rate);
}

/** @param {string} next */
function showConnection(next) {
  connection = next;
  showState();
}
function showState() {
  const words = { live: _('Live'), reconnecting: _('Reconnecting…'), polling: _('Updating every 5 s'), paused: _('Paused') };
  const shown = isPaused ? 'paused' : connection;
  byId('live-state').textContent = words[shown];
  byId('live-state').dataset.connection = shown;
}
function pause() {
  isPaused = !isPaused;
  byId('pause').setAttribute('aria-pressed', String(isPaused));
  list.pause(isPaused);
  showState();
}
function showMap(shown) {
  byId('show-map').setAttribute('aria-pressed', String(shown));
  byId('live-columns').classList.toggle('has-map', shown);
  map.show(shown);
}
const toggleWall = createWall();
byId('pause').addEventListener('click', pause);
byId('show-map').addEventListener('click', () => showMap(byId('live-map').hidden));
byId('wall').addEventListener('click', toggleWall);
shortcut('Space', _('Pause or resume'), pause);
shortcut('f', _('Full screen'), toggleWall);
showMap(!matchMedia(PHONE).matches);
