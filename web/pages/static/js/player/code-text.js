/** What a scanned or typed text means. The same rule as the server's: `extract_code` in `shared/scans/rules.py`. */

const CODE = /^[A-Za-z0-9_-]{3,64}$/;
const CONTROL = /[\u0000-\u001f\u007f]/;
const SYMBOLOGY_IDENTIFIER = /^\][A-Za-z][0-9A-Za-z]/;

/**
 * Return the code text of a URL that ends in `/s/{code}`, or null. Query and fragment do not matter here.
 * @param {string} text @param {string[]} paths the paths before a code text, such as `/s`
 */
export function codeInUrl(text, paths = ['/s']) {
  const scanned = text.replace(SYMBOLOGY_IDENTIFIER, '').trim();
  if (!/^https?:/i.test(scanned) || CONTROL.test(scanned)) return null;
  let url;
  try {
    url = new URL(scanned);
  } catch {
    return null;
  }
  const [, parent, last] = /^(.*)\/([^/]+)\/*$/.exec(url.pathname) ?? [];
  const known = [...paths, '/S'];
  return last && known.some((path) => parent.endsWith(path)) ? decode(last) : null;
}

/**
 * Return the code text of what a person typed: a code, or a URL. Null if it is neither.
 * @param {string} text @param {string[]} [paths]
 */
export function codeInInput(text, paths) {
  const typed = text.trim();
  return CODE.test(typed) ? typed : codeInUrl(typed.includes('://') ? typed : `https://${typed}`, paths);
}

/**
 * Return what is sent for a scanned URL: all of it for a rotating code, which its query proves, else the code text.
 * @param {string} text @param {string} code
 */
export function scannedText(text, code) {
  return /[?&]t=/.test(text) ? text.trim() : code;
}

/** @param {string} segment */
function decode(segment) {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
