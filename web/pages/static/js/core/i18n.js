/**
 * Translations. The catalog of the page's language is loaded once; English needs none.
 * Messages are plain literals inside `_()` and `ngettext()`, so that they can be extracted. A % in them is doubled.
 */
export const language = document.documentElement.lang;
const url = new URL(`../../i18n/${language}.json`, import.meta.url);
/** @type {Record<string, string | string[]>} */
const catalog = language === 'en' ? {} : await fetch(url).then((response) => response.json()).catch(() => ({}));
const plural = new Intl.PluralRules(language);
const numbers = new Intl.NumberFormat(language);

/**
 * @param {string} text
 * @param {Record<string, string | number>} [values] numbers are written as the language does
 */
export function _(text, values = {}) {
  const found = catalog[text];
  return fill(typeof found === 'string' ? found : text, values);
}

/**
 * @param {string} one
 * @param {string} many
 * @param {number} n
 * @param {Record<string, string | number>} [values]
 */
export function ngettext(one, many, n, values = {}) {
  const forms = catalog[one];
  const text = Array.isArray(forms) ? forms[plural.select(n) === 'one' ? 0 : forms.length - 1] : n === 1 ? one : many;
  return fill(text, { num: n, ...values });
}

/** Return a sentence of the API, which is English, on an English page only. @param {string | undefined} text */
export const english = (text) => (language === 'en' && text) || '';

/** Replace `%(name)s` by the value of that name, and `%%` by one %. */
function fill(text, values) {
  return text.replace(/%%|%\((\w+)\)[sd]/g, (all, name) => {
    if (all === '%%') return '%';
    const value = values[name] ?? all;
    return typeof value === 'number' ? numbers.format(value) : String(value);
  });
}
