/** A chosen file: what the page sees in its first bytes, and its text in UTF-8, as the server takes it. */
import { _, ngettext } from '../../core/i18n.js';
import { HEAD_BYTES, detectDelimiter, detectEncoding, isUtf8, readRows, writeRow } from './csv.js';

const MEBIBYTE = 2 ** 20;
export const MAX_MEBIBYTES = 64;
const MAX_ROWS = 100_000;
const MAX_SAMPLES = 3;
/** The column that "Download failed rows" adds. */
export const ERROR_COLUMN = 'error';
export const ENCODINGS = { 'utf-8': 'UTF-8', 'utf-16le': 'UTF-16', 'utf-16be': 'UTF-16', 'windows-1252': 'Windows-1252' };

/**
 * @typedef {import('./csv.js').Encoding} Encoding
 * @typedef {{file: File, encoding: Encoding, delimiter: string, columns: string[], problems: string[], samples: string[]}} Head
 * @typedef {{blob: Blob, text: string, rows: number, delimiter: string, columns: string[], digest: string}} Table
 */

export const sizeOf = (bytes) =>
  bytes < MEBIBYTE ? _('%(size)s KB', { size: Math.max(1, Math.round(bytes / 1024)) }) : _('%(size)s MB', { size: Math.round((10 * bytes) / MEBIBYTE) / 10 });

/**
 * Look at a file. Return what is in its first bytes, or the sentence that says why it cannot be imported.
 * @param {File} file @param {string[]} known columns of an import @returns {Promise<Head | string>}
 */
export async function openFile(file, known) {
  if (!file.size) return _('This file is empty.');
  if (file.size > MAX_MEBIBYTES * MEBIBYTE) {
    return _('This file is %(size)s. The limit is %(limit)s MB.', { size: sizeOf(file.size), limit: MAX_MEBIBYTES });
  }
  const bytes = await file.slice(0, HEAD_BYTES).arrayBuffer();
  let encoding = detectEncoding(new Uint8Array(bytes));
  if (!encoding) return _("That isn't a CSV file.");
  // The first byte that is not UTF-8 may be far behind the head.
  if (encoding === 'utf-8' && file.size > HEAD_BYTES && !isUtf8(await file.arrayBuffer())) encoding = 'windows-1252';
  const text = new TextDecoder(encoding).decode(bytes);
  const delimiter = detectDelimiter(text);
  const columns = namesOf(readRows(text, delimiter).next().value?.cells ?? []);
  const samples = encoding === 'utf-8' ? [] : await findSamples(file, encoding);
  return { file, encoding, delimiter, columns, problems: findProblems(columns, known), samples };
}

/** Return the names of columns, without those at the end that have none. @param {string[]} cells */
function namesOf(cells) {
  const names = cells.map((name) => name.trim());
  while (names.length && !names[names.length - 1]) names.pop();
  return names;
}

/** Return what is wrong with the names of the columns, in sentences. */
function findProblems(columns, known) {
  if (!columns.length) return [_('This file has no header. Name the columns in its first line.')];
  const problems = [];
  for (const name of new Set(columns.filter((column) => !isKnown(column, known)))) {
    const meant = known.find((column) => column === name.toLowerCase().replace(/[^a-z0-9]+/g, '_'));
    problems.push(meant
      ? _('“%(name)s” is not a column. Rename it to %(meant)s.', { name: name.slice(0, 40), meant })
      : _('“%(name)s” is not a column of an import. Rename or remove it.', { name: name.slice(0, 40) }));
  }
  for (const name of new Set(columns.filter((column, index) => columns.indexOf(column) !== index))) {
    problems.push(_('The column %(name)s occurs more than once.', { name: name.slice(0, 40) }));
  }
  if (!columns.includes('scan_type')) problems.push(_('The column scan_type is missing. It is required.'));
  return problems;
}

export const isKnown = (column, known) => column === ERROR_COLUMN || known.includes(column);

/** Return a few lines with letters beyond ASCII: they show whether the encoding is the right one. */
async function findSamples(file, encoding) {
  const text = new TextDecoder(encoding).decode(await file.arrayBuffer());
  return [...text.matchAll(/[^\n\r,;\t|]*[^\x00-\x7f][^\n\r,;\t|]*/g)].slice(0, MAX_SAMPLES).map(([found]) => found.trim().slice(0, 60));
}

/**
 * Return the file as the server takes it: in UTF-8, and without the column that names the errors of an earlier import.
 * @param {Head} head @returns {Promise<Table | string>}
 */
export async function readTable({ file, encoding, delimiter, columns }) {
  const bytes = await file.arrayBuffer();
  let text = new TextDecoder(encoding).decode(bytes);
  const dropped = columns.indexOf(ERROR_COLUMN);
  let rows = -1;
  const kept = [];
  for (const { cells } of readRows(text, delimiter)) {
    rows += 1;
    if (rows > MAX_ROWS) return _('This file has more than %(rows)s rows. Split it up.', { rows: MAX_ROWS });
    if (dropped >= 0) kept.push(writeRow(cells.filter((_cell, index) => index !== dropped), delimiter));
  }
  if (dropped >= 0) text = kept.join('');
  const isChanged = dropped >= 0 || encoding !== 'utf-8';
  const blob = isChanged ? new Blob([text]) : file;
  return {
    blob,
    text,
    rows: Math.max(0, rows),
    delimiter,
    columns: columns.filter((_name, index) => index !== dropped),
    digest: await digestOf(isChanged ? await blob.arrayBuffer() : bytes),
  };
}

/** Return a digest that is equal for equal files; on plain http, where browsers have none, a random one. */
async function digestOf(bytes) {
  if (!globalThis.crypto.subtle) return String(Math.random()).slice(2);
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

export const rowsInWords = (rows) => ngettext('%(num)s row', '%(num)s rows', rows);
