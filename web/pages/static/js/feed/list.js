/**
 * The feed: new rows come on top, at most five times a second. While it is held they wait behind a button.
 * The newest 500 rows are there.
 */
import { ngettext } from '../core/i18n.js';

const TICK_MS = 200;
const MAX_ROWS = 500;
const SCROLLED_PX = 40;

/** @typedef {import('./rows.js').Entry} Entry */

/** @param {{list: HTMLElement, button: HTMLButtonElement, empty: HTMLElement}} parts `button` shows the rows that wait */
export function createList({ list, button, empty }) {
  /** All entries, shown or waiting, by the id of the scan. @type {Map<string, Entry>} */
  const entries = new Map();
  /** Oldest first. @type {Entry[]} */
  let waiting = [];
  let missed = 0;
  let isPaused = false;
  let timer = 0;

  const isHeld = () => isPaused || list.getBoundingClientRect().top < -SCROLLED_PX;

  const tick = () => {
    timer = 0;
    if (!waiting.length) return;
    if (isHeld()) {
      showButton();
      later();
    } else {
      flush();
    }
  };
  const later = () => {
    if (!timer) timer = setTimeout(tick, TICK_MS);
  };
  const flush = () => {
    const elements = waiting.map((entry) => entry.element).reverse();
    waiting = [];
    missed = 0;
    // One of them slides: ten a time would only blur.
    elements[0]?.classList.add('is-new');
    list.prepend(...elements);
    trim();
    showButton();
    empty.hidden = true;
  };
  const trim = () => {
    while (list.childElementCount > MAX_ROWS) {
      const last = /** @type {HTMLElement} */ (list.lastElementChild);
      entries.delete(last.dataset.scan);
      last.remove();
    }
  };
  const showButton = () => {
    const count = waiting.length + missed;
    button.hidden = !count;
    if (count) button.textContent = ngettext('%(num)s new', '%(num)s new', count);
  };

  button.addEventListener('click', () => {
    flush();
    if (list.getBoundingClientRect().top < 0) list.scrollIntoView();
    list.focus({ preventScroll: true });
  });

  return {
    /** @param {string} id */
    get: (id) => entries.get(id),
    entries: () => entries.values(),
    /** Put an entry on top, soon. @param {Entry} entry */
    add(entry) {
      entries.set(entry.id, entry);
      waiting.push(entry);
      if (waiting.length > MAX_ROWS) {
        entries.delete(/** @type {Entry} */ (waiting.shift()).id);
        missed += 1;
      }
      later();
    },
    /** Take an entry that is on the page already. @param {Entry} entry */
    adopt: (entry) => void entries.set(entry.id, entry),
    /** @param {Entry} entry */
    remove(entry) {
      entries.delete(entry.id);
      waiting = waiting.filter((one) => one !== entry);
      entry.element.remove();
      empty.hidden = Boolean(list.childElementCount);
    },
    /** Show these entries, newest first, instead of all others. @param {Entry[]} newest */
    replace(newest) {
      entries.clear();
      waiting = [];
      missed = 0;
      for (const entry of newest) entries.set(entry.id, entry);
      list.replaceChildren(...newest.map((entry) => entry.element));
      showButton();
      empty.hidden = newest.length > 0;
    },
    isHeld,
    /** @param {boolean} paused */
    pause(paused) {
      isPaused = paused;
      later();
    },
  };
}
