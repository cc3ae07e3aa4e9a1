/** The progress of players: filters in place, and rows sorted by name or by what is completed. */
import { language } from '../core/i18n.js';
import { bindRows } from '../staff/rows.js';

const collator = new Intl.Collator(language, { numeric: true });
/** @type {Record<string, (a: DOMStringMap, b: DOMStringMap) => number>} */
const orders = {
  name: (a, b) => collator.compare(a.name ?? '', b.name ?? ''),
  completed: (a, b) => Number(b.completed) - Number(a.completed) || collator.compare(a.name ?? '', b.name ?? ''),
};
let order = '';
let isReversed = false;

/** Sort the rows that are loaded, and say in the table how. */
function sort() {
  titles();
  const body = document.querySelector('#rows [data-rows]');
  if (!body || !order) return;
  const sign = isReversed ? -1 : 1;
  const rows = /** @type {HTMLElement[]} */ ([...body.children]);
  body.append(...rows.sort((a, b) => sign * orders[order](a.dataset, b.dataset)));
  for (const button of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('[data-sort]'))) {
    // Most completed comes first.
    const isAscending = (order === 'name') !== isReversed;
    button.parentElement?.setAttribute('aria-sort', button.dataset.sort !== order ? 'none' : isAscending ? 'ascending' : 'descending');
  }
}

/** Show the time of each cell where the pointer is. */
function titles() {
  for (const time of document.querySelectorAll('.matrix-done time')) time.parentElement?.setAttribute('title', time.textContent ?? '');
}

document.addEventListener('click', ({ target }) => {
  const button = /** @type {HTMLElement | null} */ (/** @type {Element} */ (target).closest('[data-sort]'));
  if (!button) return;
  const chosen = button.dataset.sort ?? '';
  isReversed = order === chosen && !isReversed;
  order = chosen;
  sort();
});
bindRows({ onChange: sort });
addEventListener('load', titles);
