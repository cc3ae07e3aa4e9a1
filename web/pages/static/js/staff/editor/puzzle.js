/** The clues of a puzzle: fields for known keys, JSON for the rest. */
import { _ } from '../../core/i18n.js';

const TEXTS = ['text', 'cipher', 'hint'];
const LISTS = ['sequence', 'choices', 'grid'];
/** By type of puzzle. A clue that has a value is shown in any case. */
const SHOWN = { decryption: ['text', 'cipher', 'choices', 'hint'], pattern: ['text', 'sequence', 'grid', 'choices', 'hint'], hacking: ['text', 'choices', 'hint'] };

const isPlain = (value) => ['string', 'number'].includes(typeof value);
const isList = (key, value) => Array.isArray(value) && value.every((each) => isPlain(each) || (key === 'grid' && Array.isArray(each) && each.every(isPlain)));
const isKnown = (key, value) => (TEXTS.includes(key) && typeof value === 'string') || (LISTS.includes(key) && isList(key, value));

/** Return the text of each field, and the rest as JSON. @param {Record<string, any>} data */
export function toFields(data) {
  const fields = { rest: '' };
  const rest = {};
  for (const [key, value] of Object.entries(data)) {
    if (!isKnown(key, value)) rest[key] = value;
    else fields[key] = typeof value === 'string' ? value : value.map((each) => (Array.isArray(each) ? each.join(' ') : String(each))).join('\n');
  }
  if (Object.keys(rest).length) fields.rest = JSON.stringify(rest, null, 2);
  return fields;
}

/**
 * Return the data of a puzzle. A field that was not changed keeps its value, so that numbers stay numbers.
 * Raise SyntaxError if the rest is not JSON.
 * @param {Record<string, string>} fields @param {Record<string, any>} before
 */
export function toData(fields, before) {
  const old = toFields(before);
  const rest = fields.rest?.trim() ? JSON.parse(fields.rest) : {};
  if (typeof rest !== 'object' || rest === null || Array.isArray(rest)) throw new SyntaxError('not an object');
  const data = {};
  for (const key of [...TEXTS, ...LISTS]) {
    const text = fields[key] ?? '';
    if (!text.trim()) continue;
    if (text === old[key]) data[key] = before[key];
    else data[key] = TEXTS.includes(key) ? text.trim() : text.split('\n').map((line) => line.trim()).filter(Boolean);
  }
  return { ...data, ...rest };
}

/** Fill the fields of a form, and show those of the type of puzzle. @param {HTMLFormElement} form @param {Record<string, any>} data */
export function bindPuzzle(form, data) {
  const input = (key) => /** @type {HTMLInputElement} */ (form.elements.namedItem(`clue-${key}`));
  const fields = toFields(data);
  for (const key of [...TEXTS, ...LISTS, 'rest']) input(key).value = fields[key] ?? '';
  const type = /** @type {HTMLSelectElement} */ (form.elements.namedItem('encounter.puzzle_type'));
  const hints = {
    decryption: _('Case and spaces do not matter.'),
    pattern: _('Separators do not matter: 3-1-4 equals 3 1 4.'),
    hacking: _('Every character matters.'),
  };
  const show = () => {
    for (const key of [...TEXTS, ...LISTS]) {
      /** @type {HTMLElement} */ (input(key).closest('.field')).hidden = !SHOWN[type.value].includes(key) && !input(key).value;
    }
    document.getElementById('solution-rule').textContent = hints[type.value];
  };
  type.addEventListener('change', show);
  show();
}

/** @param {HTMLFormElement} form @param {Record<string, any>} before */
export function readPuzzle(form, before) {
  const keys = [...TEXTS, ...LISTS, 'rest'];
  return toData(Object.fromEntries(keys.map((key) => [key, /** @type {HTMLInputElement} */ (form.elements.namedItem(`clue-${key}`)).value])), before);
}
