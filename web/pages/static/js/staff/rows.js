/**
 * Lists with filters in the URL. `#filters` is a form (GET), `#rows` the part that it changes, which contains the
 * link `[data-load-more]` if there are more rows, and states their number in `data-spoken`.
 */
import { Problem } from '../core/api.js';
import { loadFragment, replaceFragment, showFailure } from './fragment.js';

const TYPING_MS = 250;

/** @param {{onChange?: () => void}} [options] called after the rows have changed */
export function bindRows({ onChange = () => {} } = {}) {
  const form = /** @type {HTMLFormElement | null} */ (document.getElementById('filters'));
  let timer = 0;
  let loading = new AbortController();

  const filter = async () => {
    clearTimeout(timer);
    loading.abort();
    loading = new AbortController();
    const query = new URLSearchParams();
    for (const [name, value] of new FormData(/** @type {HTMLFormElement} */ (form))) {
      if (value !== '') query.append(name, String(value));
    }
    const path = query.size ? `${location.pathname}?${query}` : location.pathname;
    history.replaceState(null, '', path);
    try {
      await replaceFragment(path, 'rows', loading.signal);
    } catch (error) {
      if (/** @type {Error} */ (error).name === 'AbortError') return;
      throw error;
    }
    speak();
    onChange();
  };
  form?.addEventListener('input', (event) => {
    clearTimeout(timer);
    timer = setTimeout(filter, /** @type {HTMLElement} */ (event.target).matches('[type=search], [type=text]') ? TYPING_MS : 0);
  });
  form?.addEventListener('submit', (event) => {
    event.preventDefault();
    filter();
  });
  document.addEventListener('click', async (event) => {
    const link = /** @type {HTMLAnchorElement | null} */ (/** @type {Element} */ (event.target).closest('[data-load-more]'));
    if (!link || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    if (link.getAttribute('aria-busy') === 'true') return;
    link.setAttribute('aria-busy', 'true');
    try {
      await append(link);
      onChange();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      showFailure(/** @type {Element} */ (link.parentElement), error, () => link.click());
    } finally {
      link.removeAttribute('aria-busy');
    }
  });
}

/** Add the next rows below the last one, and move the focus to the first of them. */
async function append(link) {
  const [next] = await loadFragment(link.href, '#rows');
  const body = /** @type {HTMLElement} */ (document.querySelector('#rows [data-rows]'));
  const rows = [...(next.querySelector('[data-rows]')?.children ?? [])];
  body.append(...rows);
  const further = next.querySelector('.load-more');
  if (further) link.closest('.load-more')?.replaceWith(further);
  else link.closest('.load-more')?.remove();
  /** @type {HTMLElement | null | undefined} */ (rows[0]?.querySelector('a, button'))?.focus();
}

/** Let a screen reader say how many rows there are. */
function speak() {
  const text = /** @type {HTMLElement | null} */ (document.querySelector('#rows'))?.dataset.spoken;
  const status = document.getElementById('live-region');
  if (status && text) status.textContent = text;
}
