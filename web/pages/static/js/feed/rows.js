/** Rows of the feed: copies of the page's templates, filled from events, codes and names. */
import { icon } from '../core/icon.js';
import { _, language } from '../core/i18n.js';
import { secondTime, shortTime } from '../core/time.js';
import { reasonWords } from '../staff/reasons.js';

const HUES = 12n;
const numbers = new Intl.NumberFormat(language);

/** @typedef {{id: string, at: string, player: string | null, text: string, status: string, reason?: string, reward?: string, quantity?: number, element: HTMLElement}} Entry */

/** @param {HTMLElement} root the page's part with the templates @param {{base: string, withNames: boolean}} options */
export function createRows(root, { base, withNames }) {
  const template = /** @type {HTMLTemplateElement} */ (root.querySelector('#feed-row'));
  /** @type {Record<string, DocumentFragment>} */
  const badges = {};
  for (const badge of /** @type {NodeListOf<HTMLTemplateElement>} */ (root.querySelectorAll('[data-badge]'))) badges[badge.dataset.badge] = badge.content;

  const rows = {
    /** Return the row of an entry. @param {Omit<Entry, 'element'>} entry @returns {HTMLElement} */
    create(entry) {
      const element = /** @type {HTMLElement} */ (template.content.firstElementChild.cloneNode(true));
      element.dataset.scan = entry.id;
      element.dataset.code = entry.text;
      /** @type {HTMLAnchorElement} */ (part(element, 'scan')).href = `${base}/scans/${entry.id}`;
      const time = /** @type {HTMLTimeElement} */ (part(element, 'time'));
      time.dateTime = entry.at;
      time.textContent = secondTime(entry.at);
      time.title = shortTime(entry.at);
      part(element, 'code').textContent = entry.text;
      if (entry.player) {
        const dot = document.createElement('span');
        dot.className = `feed-dot hue-${BigInt(`0x${entry.player.replaceAll('-', '')}`) % HUES}`;
        dot.setAttribute('aria-hidden', 'true');
        const words = document.createElement('span');
        words.className = 'visually-hidden';
        words.textContent = `${_('Player')} `;
        part(element, 'player').dataset.player = entry.player;
        part(element, 'player').append(dot, words, entry.player.slice(-4));
      }
      rows.update(element, entry);
      return element;
    },
    /** Show the status of an entry and what came of it. @param {HTMLElement} element @param {Omit<Entry, 'element'>} entry */
    update(element, entry) {
      element.dataset.status = entry.status;
      part(element, 'status').replaceChildren(badges[entry.status].cloneNode(true));
      const result = part(element, 'result');
      if (entry.status === 'success' && entry.reward) {
        result.replaceChildren(icon('gift'), `${numbers.format(entry.quantity ?? 1)} ${entry.reward.replaceAll('_', ' ')}`);
      } else {
        result.textContent = reasonWords(entry.reason);
      }
    },
    /** @param {HTMLElement} element @param {import('./lookups.js').Code} code */
    setCode(element, code) {
      const link = /** @type {HTMLAnchorElement} */ (part(element, 'code'));
      if (code.id) link.href = `${base}/codes/${code.id}`;
      link.textContent = code.description || code.text;
      part(element, 'text').textContent = code.description ? code.text : '';
    },
    /** @param {HTMLElement} element @param {string} name */
    setName(element, name) {
      if (withNames) part(element, 'player').replaceChildren(/** @type {Node} */ (part(element, 'player').firstChild), name);
    },
  };
  return rows;
}

/** @param {HTMLElement} element @param {string} name @returns {HTMLElement} */
const part = (element, name) => element.querySelector(`[data-field=${name}]`);
