/** What a puzzle gives its player. Known keys are drawn, others are listed. Any value is text, never markup. */
import { _ } from '../core/i18n.js';
import { html, Icon, itemName } from './parts.js';

const KNOWN = ['text', 'cipher', 'sequence', 'grid', 'hint', 'choices'];

/** Return a value as a text. @param {unknown} value */
const asText = (value) => (typeof value === 'object' ? JSON.stringify(value) : String(value));

/** Return the answers to choose from, or null for a puzzle with a typed answer. @param {any} data */
export const choicesOf = (data) => (Array.isArray(data?.choices) && data.choices.length ? data.choices.map(asText) : null);

const Sequence = ({ values }) => html`
  <ol class="sequence" role="list">${values.map((value) => html`<li class="mono">${asText(value)}</li>`)}</ol>`;

/** A grid is an array of rows, or of lines of text. */
const Grid = ({ rows }) => html`
  <div class="table-scroll" tabindex="0" role="region" aria-label=${_('Grid')}>
    <table class="grid-clue"><tbody>
      ${rows.map((row) => html`<tr>${(Array.isArray(row) ? row : [...asText(row)]).map((cell) => html`<td class="mono">${asText(cell)}</td>`)}</tr>`)}
    </tbody></table>
  </div>`;

/** @param {{data: any}} properties */
export function Clues({ data }) {
  const { text, cipher, sequence, grid, hint } = data ?? {};
  const others = Object.entries(data ?? {}).filter(([key]) => !KNOWN.includes(key));
  return html`
    <div class="card stack clues">
      ${text !== undefined && html`<p class="lead">${asText(text)}</p>`}
      ${cipher !== undefined && html`<p class="cipher mono">${asText(cipher)}</p>`}
      ${sequence !== undefined && html`<${Sequence} values=${Array.isArray(sequence) ? sequence : [sequence]} />`}
      ${grid !== undefined && html`<${Grid} rows=${Array.isArray(grid) ? grid : [grid]} />`}
      ${others.length > 0 && html`<dl class="facts">${others.map(([key, value]) => html`<dt>${itemName(key)}</dt><dd>${asText(value)}</dd>`)}</dl>`}
      ${hint !== undefined && html`<p class="row hint-clue"><${Icon} name="info" /><span>${asText(hint)}</span></p>`}
    </div>`;
}
