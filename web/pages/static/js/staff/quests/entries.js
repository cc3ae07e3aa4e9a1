/** Tags and codes of a quest: chips and a search that add lines, and how many codes have each tag. */
import { Problem, get } from '../../core/api.js';
import { ngettext } from '../../core/i18n.js';
import { linesOf } from './fields.js';

const TYPING_MS = 200;
const FOUND = 10;
const byId = (id) => /** @type {any} */ (document.getElementById(id));

/** Write the lines of a field, as if they were typed. */
function write(field, lines) {
  field.value = lines.join('\n');
  field.dispatchEvent(new Event('input', { bubbles: true }));
}

/** @param {string} api path of the organization's API */
export function bindEntries(api) {
  const tags = byId('tags');
  const chips = /** @type {HTMLElement[]} */ ([...document.querySelectorAll('[data-tag]')]);
  const known = new Map(chips.map((chip) => [chip.dataset.tag, Number(chip.dataset.codes)]));
  let counting = 0;

  const showTags = async () => {
    const chosen = linesOf(tags.value);
    for (const chip of chips) chip.setAttribute('aria-pressed', String(chosen.includes(String(chip.dataset.tag))));
    const turn = (counting += 1);
    const counts = await Promise.all(chosen.map(async (tag) => [tag, known.get(tag) ?? (await countCodes(api, tag))]));
    if (turn !== counting) return;
    byId('tag-counts').textContent = counts.map(([tag, num]) => ngettext('%(num)s code has the tag %(tag)s.', '%(num)s codes have the tag %(tag)s.', num, { tag })).join(' ');
  };
  let timer = 0;
  tags.addEventListener('input', () => {
    clearTimeout(timer);
    timer = setTimeout(showTags, TYPING_MS);
  });
  for (const chip of chips) {
    chip.addEventListener('click', () => {
      const tag = String(chip.dataset.tag);
      const lines = linesOf(tags.value);
      write(tags, lines.includes(tag) ? lines.filter((line) => line !== tag) : [...lines, tag]);
    });
  }
  showTags();
  if (byId('find-code')) bindCodes(api);
}

/** Return how many codes have a tag. */
async function countCodes(api, tag) {
  try {
    const { items } = await get(`${api}/tags?${new URLSearchParams({ q: tag, limit: '200' })}`);
    return items.find((each) => each.tag === tag)?.codes ?? 0;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return 0;
  }
}

function bindCodes(api) {
  const [find, codes, found] = [byId('find-code'), byId('codes'), byId('found-codes')];
  let timer = 0;
  const add = () => {
    const text = find.value.trim();
    if (!text) return;
    write(codes, [...linesOf(codes.value), text]);
    find.value = '';
  };
  const search = async () => {
    try {
      const { items } = await get(`${api}/qr-codes?${new URLSearchParams({ q: find.value.trim(), limit: String(FOUND) })}`);
      found.replaceChildren(...items.map(({ code, description }) => Object.assign(document.createElement('option'), { value: code, label: description || code })));
    } catch (error) {
      // A code can be typed without suggestions.
      if (!(error instanceof Problem)) throw error;
    }
  };
  find.addEventListener('input', () => {
    clearTimeout(timer);
    if ([...found.options].some(({ value }) => value === find.value)) return add();
    timer = setTimeout(search, TYPING_MS);
  });
  find.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter') return;
    event.preventDefault();
    add();
  });
  // A search is no field of the quest.
  find.addEventListener('input', (event) => event.stopPropagation());
}
