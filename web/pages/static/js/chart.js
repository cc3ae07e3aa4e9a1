/**
 * Charts that the server has drawn: the pointer and the arrow keys move a cursor over the columns, and the caption says
 * what is there. Home and End go to the first and the last column, Escape shows the summary again.
 */
const SPEAK_MS = 150;
const SVG = 'http://www.w3.org/2000/svg';

/** Bind all charts below `root`. @param {ParentNode} [root] */
export function bindCharts(root = document) {
  for (const figure of root.querySelectorAll('[data-chart]')) bindChart(/** @type {HTMLElement} */ (figure));
}

/** @param {HTMLElement} figure */
function bindChart(figure) {
  const plot = /** @type {SVGSVGElement} */ (figure.querySelector('.chart-plot'));
  const columns = /** @type {SVGRectElement[]} */ ([...plot.querySelectorAll('.chart-column')]);
  const caption = /** @type {HTMLElement} */ (figure.querySelector('.chart-caption'));
  if (!columns.length) return;
  const summary = caption.textContent;
  const cursor = document.createElementNS(SVG, 'line');
  cursor.setAttribute('class', 'chart-cursor');
  cursor.setAttribute('y2', '100%');
  plot.append(cursor);
  plot.tabIndex = 0;
  let index = -1;
  let timer = 0;

  const say = () => (caption.textContent = columns[index]?.dataset.caption ?? summary);
  /** @param {number} next -1: none @param {number} [wait] milliseconds until the caption changes */
  const move = (next, wait = 0) => {
    if (next === index) return;
    columns[index]?.classList.remove('is-current');
    index = next;
    const column = columns[index];
    column?.classList.add('is-current');
    cursor.classList.toggle('is-shown', Boolean(column));
    if (column) {
      const center = `${parseFloat(column.getAttribute('x')) + parseFloat(column.getAttribute('width')) / 2}%`;
      cursor.setAttribute('x1', center);
      cursor.setAttribute('x2', center);
    }
    clearTimeout(timer);
    timer = setTimeout(say, wait);
  };
  plot.addEventListener('pointermove', (event) => {
    const { left, width } = plot.getBoundingClientRect();
    move(Math.max(0, Math.min(columns.length - 1, Math.floor(((event.clientX - left) / width) * columns.length))));
  });
  plot.addEventListener('pointerleave', () => move(-1));
  plot.addEventListener('blur', () => move(-1));
  plot.addEventListener('keydown', (event) => {
    const last = columns.length - 1;
    const targets = {
      ArrowRight: Math.min(last, index + 1),
      ArrowLeft: index < 0 ? last : Math.max(0, index - 1),
      Home: 0,
      End: last,
      Escape: -1,
    };
    if (!(event.key in targets) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    // A held key passes many columns: only where it stops is spoken.
    move(targets[event.key], SPEAK_MS);
  });
}
