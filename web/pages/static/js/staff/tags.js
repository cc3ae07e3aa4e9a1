/** Suggestions for tags: the organization's own, as they are typed. */
import { Problem, get } from '../core/api.js';

const TYPING_MS = 150;
const LIMIT = 20;

/** @param {HTMLInputElement} input with a `list` @param {string} api the path of the organization's codes */
export function suggestTags(input, api) {
  let timer = 0;
  let loading = new AbortController();
  const load = async () => {
    loading.abort();
    loading = new AbortController();
    try {
      const query = new URLSearchParams({ q: input.value.trim(), limit: String(LIMIT) });
      const { items } = await get(`${api.replace(/qr-codes$/, 'tags')}?${query}`, { signal: loading.signal });
      const options = items.map(({ tag }) => Object.assign(document.createElement('option'), { value: tag }));
      input.list?.replaceChildren(...options);
    } catch (error) {
      // Suggestions are no must: without them, the tag is typed.
      if (!(error instanceof Problem) && /** @type {Error} */ (error).name !== 'AbortError') throw error;
    }
  };
  input.addEventListener('focus', load);
  input.addEventListener('input', () => {
    clearTimeout(timer);
    timer = setTimeout(load, TYPING_MS);
  });
}
