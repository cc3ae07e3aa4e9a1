/** CSV files as spreadsheets write them: encoding, delimiter, rows with the line where each starts. Pure. */

/** @typedef {'utf-8' | 'utf-16le' | 'utf-16be' | 'windows-1252'} Encoding */
/** @typedef {{line: number, cells: string[]}} Row */

export const HEAD_BYTES = 65536;
const DELIMITERS = [',', ';', '\t', '|'];
const SEPARATOR = /^"?sep=([,;\t|])"?$/i;
/** A cell that a spreadsheet would compute. One that begins with a quote is guarded already. */
const FORMULA = /^[=+\-@\t\r]/;
const NUMBER = /^-?\d+([.,]\d+)?([eE][+-]?\d+)?$/;
/** The first bytes of other files that are taken for CSV: ZIP archives and workbooks, old workbooks, gzip, PDF, PNG. */
const OTHER_FILES = [[0x50, 0x4b, 3, 4], [0xd0, 0xcf, 0x11, 0xe0], [0x1f, 0x8b], [0x25, 0x50, 0x44, 0x46], [0x89, 0x50, 0x4e, 0x47]];

/** Return the encoding of a file from its first bytes; null if it is not text. @param {Uint8Array} head @returns {Encoding | null} */
export function detectEncoding(head) {
  if (OTHER_FILES.some((start) => start.every((byte, index) => head[index] === byte))) return null;
  if (head[0] === 0xff && head[1] === 0xfe) return 'utf-16le';
  if (head[0] === 0xfe && head[1] === 0xff) return 'utf-16be';
  const zeros = [0, 1].map((parity) => head.filter((byte, index) => byte === 0 && index % 2 === parity).length);
  if (zeros[0] || zeros[1]) {
    // Text of mostly ASCII characters in UTF-16, without a byte order mark: every second byte is 0.
    if (zeros[1] > head.length / 4 && !zeros[0]) return 'utf-16le';
    return zeros[0] > head.length / 4 && !zeros[1] ? 'utf-16be' : null;
  }
  try {
    // As a stream: the last character may be cut off.
    new TextDecoder('utf-8', { fatal: true }).decode(head, { stream: true });
    return 'utf-8';
  } catch {
    return 'windows-1252';
  }
}

/** Return whether all of these bytes are UTF-8. @param {ArrayBuffer} bytes */
export function isUtf8(bytes) {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}

/** Return the delimiter of a text by its first line, as the server finds it. @param {string} text */
export function detectDelimiter(text) {
  const first = text.slice(0, (text.indexOf('\n') + 1 || text.length + 1) - 1).replace(/\r$/, '');
  const named = SEPARATOR.exec(first);
  if (named) return named[1];
  const counts = DELIMITERS.map((delimiter) => first.split(delimiter).length);
  return DELIMITERS[counts.indexOf(Math.max(...counts))];
}

/**
 * Yield the rows of a text by RFC 4180, the header first. Rows of nothing but blanks are passed over.
 * A quote that is never closed ends with the text: the server says where it is.
 * @param {string} text @param {string} delimiter @returns {Generator<Row>}
 */
export function* readRows(text, delimiter) {
  let at = 0;
  let line = 1;
  const head = text.indexOf('\n') + 1;
  if (SEPARATOR.test(text.slice(0, head).replace(/\r?\n$/, ''))) {
    at = head;
    line = 2;
  }
  while (at < text.length) {
    const row = { line, cells: /** @type {string[]} */ ([]) };
    for (let isOpen = true; isOpen; ) {
      let cell = '';
      if (text[at] === '"') {
        for (at += 1; ; at += 2) {
          const quote = text.indexOf('"', at);
          const end = quote < 0 ? text.length : quote;
          cell += text.slice(at, end);
          at = end;
          if (text[at + 1] !== '"' || quote < 0) break;
          cell += '"';
        }
        at += 1;
      }
      const start = at;
      while (at < text.length && text[at] !== delimiter && text[at] !== '\n') at += 1;
      const isLast = text[at] !== delimiter;
      cell += isLast ? text.slice(start, at).replace(/\r$/, '') : text.slice(start, at);
      row.cells.push(cell);
      line += cell.split('\n').length - 1;
      at += 1;
      isOpen = !isLast;
    }
    line += 1;
    if (row.cells.some((cell) => cell.trim())) yield row;
  }
}

/** Return a cell that no spreadsheet computes. A number stays a number. @param {string} cell */
export const escapeFormula = (cell) => (FORMULA.test(cell) && !NUMBER.test(cell.trim()) ? `'${cell}` : cell);

/** Return a row as text. @param {string[]} cells @param {string} delimiter */
export function writeRow(cells, delimiter) {
  const quoted = cells.map((cell) => (/["\r\n]/.test(cell) || cell.includes(delimiter) ? `"${cell.replaceAll('"', '""')}"` : cell));
  return `${quoted.join(delimiter)}\r\n`;
}

/** Return a file that spreadsheets open as UTF-8. @param {string[][]} rows @param {string} delimiter */
export const writeFile = (rows, delimiter) => `\ufeff${rows.map((row) => writeRow(row, delimiter)).join('')}`;
