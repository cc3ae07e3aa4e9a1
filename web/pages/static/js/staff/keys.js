/** Keyboard shortcuts. Single letters can be turned off in the account, as WCAG 2.1.4 asks. */
import { _ } from '../core/i18n.js';

/** @typedef {{keys: string, words: string, run: () => void, single?: boolean}} Shortcut */

const SEQUENCE_MS = 1000;
const SPACE = 'Space';
/** @type {Shortcut[]} */
const shortcuts = [];
let before = '';
let timer = 0;

/** @param {string} keys one key, two after each other as in "g c", or "Space" @param {string} words @param {() => void} run */
export function shortcut(keys, words, run) {
  shortcuts.push({ keys, words, run });
}

export const areKeysOff = () => /(?:^|; )waymark_keys=off/.test(document.cookie);

export function bindKeys() {
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || areKeysOff() || isTyping(event.target)) return;
    if (document.querySelector('dialog[open]')) return;
    const key = event.key === ' ' ? SPACE : event.key;
    if (key === SPACE && isPressable(event.target)) return;
    const keys = before ? `${before} ${key}` : key;
    const found = shortcuts.find((one) => one.keys === keys) ?? shortcuts.find((one) => one.keys === key);
    clearTimeout(timer);
    before = '';
    if (found) {
      event.preventDefault();
      found.run();
    } else if (shortcuts.some((one) => one.keys.startsWith(`${key} `))) {
      before = key;
      timer = setTimeout(() => (before = ''), SEQUENCE_MS);
    }
  });
}

/** @param {EventTarget | null} target */
const isTyping = (target) => target instanceof HTMLElement && target.matches('input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable], [role=listbox] *');

/** Does the space bar press this already? @param {EventTarget | null} target */
const isPressable = (target) => target instanceof Element && target.closest('button, summary, input, [role=application]') !== null;

/** Show all shortcuts of the page. */
export function showShortcuts() {
  const dialog = document.createElement('dialog');
  const heading = document.createElement('h2');
  Object.assign(heading, { id: 'shortcuts-heading', textContent: _('Keyboard shortcuts') });
  dialog.setAttribute('aria-labelledby', heading.id);
  const list = document.createElement('dl');
  list.className = 'facts shortcuts';
  for (const { keys, words } of shortcuts) {
    const term = document.createElement('dt');
    for (const key of keys.split(' ')) {
      const symbol = document.createElement('kbd');
      symbol.textContent = key;
      term.append(symbol, ' ');
    }
    const meaning = document.createElement('dd');
    meaning.textContent = words;
    list.append(term, meaning);
  }
  const note = document.createElement('p');
  note.className = 'hint';
  note.textContent = areKeysOff()
    ? _('Single-letter shortcuts are off. Turn them on in your account.')
    : _('Turn single-letter shortcuts off in your account.');
  const close = document.createElement('button');
  Object.assign(close, { className: 'button', textContent: _('Close'), type: 'button' });
  close.addEventListener('click', () => dialog.close());
  dialog.addEventListener('close', () => dialog.remove());
  dialog.append(heading, list, note, close);
  dialog.classList.add('stack');
  document.body.append(dialog);
  dialog.showModal();
}
