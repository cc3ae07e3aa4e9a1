/** The rows of a file that cannot be imported: the wrong cell, what to do, and a file of them to correct. */
import { _, ngettext } from '../../core/i18n.js';
import { useState } from '../../../vendor/hooks.js';
import { html, Icon } from '../html.js';
import { ERROR_COLUMN } from './file.js';
import { escapeFormula, readRows, writeFile } from './csv.js';

const PAGE_SIZE = 100;

/**
 * Return the failed rows of a file with their cells, found by their lines.
 * @param {import('./file.js').Table} table @param {{line: number, field: string | null, message: string}[]} failed
 */
export function withCells(table, failed) {
  const byLine = new Map(failed.map((row) => [row.line, row]));
  const found = [];
  for (const { line, cells } of readRows(table.text, table.delimiter)) {
    const row = byLine.get(line);
    if (!row) continue;
    const value = row.field === null ? '' : cells[table.columns.indexOf(row.field)] ?? '';
    const name = ['code', 'description'].map((column) => cells[table.columns.indexOf(column)]?.trim()).find(Boolean) ?? '';
    found.push({ ...row, cells, value, name });
  }
  return found;
}

/** Save the failed rows as a file with a column that says what to correct. The page reads it again without that column. */
export function download(table, rows, fileName) {
  const text = writeFile(
    [[...table.columns, ERROR_COLUMN], ...rows.map(({ cells, field, message }) => {
      const filled = Array.from({ length: Math.max(cells.length, table.columns.length) }, (_cell, index) => cells[index] ?? '');
      return [...filled.map(escapeFormula), escapeFormula(field === null ? message : `${field}: ${message}`)];
    })],
    table.delimiter,
  );
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], { type: 'text/csv' }));
  link.download = fileName;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** @param {{rows: any[]}} properties rows of `withCells` */
export function FailedRows({ rows }) {
  const [chosen, choose] = useState('');
  const [shown, show] = useState(PAGE_SIZE);
  const counts = Object.entries(Object.groupBy(rows, ({ message }) => message))
    .map(([message, found]) => ({ message, count: found.length }))
    .sort((one, other) => other.count - one.count);
  const matching = rows.filter(({ message }) => !chosen || message === chosen);
  const filter = (message) => {
    choose(message);
    show(PAGE_SIZE);
  };
  return html`
    <section class="stack">
      <h3 id="failed-heading">${_('Failed rows')}</h3>
      ${counts.length > 1 && html`
        <div class="messages" role="group" aria-label=${_('Filter by message')}>
          <button type="button" class="message" aria-pressed=${String(!chosen)} onClick=${() => filter('')}>${ngettext('All %(num)s row', 'All %(num)s rows', rows.length)}</button>
          ${counts.slice(0, 12).map(({ message, count }) => html`
            <button type="button" class="message" aria-pressed=${String(chosen === message)} onClick=${() => filter(message)}>
              <strong>${ngettext('%(num)s row', '%(num)s rows', count)}</strong> ${message}</button>`)}
        </div>`}
      <div class="table-scroll" tabindex="0" role="region" aria-labelledby="failed-heading">
        <table class="table table-cards">
          <thead><tr><th scope="col" class="number">${_('Line')}</th><th scope="col">${_('Row')}</th><th scope="col">${_('Column')}</th><th scope="col">${_('Value')}</th><th scope="col">${_('What to correct')}</th></tr></thead>
          <tbody>
            ${matching.slice(0, shown).map(({ line, name, field, value, message }) => html`
              <tr key=${line}>
                <td class="number" data-label=${_('Line')}>${line}</td>
                <td data-label=${_('Row')}><span class="clip">${name}</span></td>
                <td data-label=${_('Column')}>${field === null ? _('Whole row') : html`<code>${field}</code>`}</td>
                <td data-label=${_('Value')}>${field === null ? '' : html`<mark class="wrong-cell clip">${value || _('Empty')}</mark>`}</td>
                <td data-label=${_('What to correct')}>${message}</td>
              </tr>`)}
          </tbody>
        </table>
      </div>
      ${matching.length > shown && html`<p class="load-more"><button type="button" class="button" onClick=${() => show(shown + PAGE_SIZE)}><${Icon} name="chevron-down" />${_('Show more')}</button></p>`}
    </section>`;
}
