/** Short messages at the bottom of the page, which screen readers speak. */
import { _ } from './i18n.js';

const SECONDS = 7;

/** @param {string} text @param {[string, string][]} [links] words and paths */
export function toast(text, links = []) {
  const element = document.createElement('div');
  element.className = 'toast';
  const words = document.createElement('span');
  words.textContent = text;
  const close = document.createElement('button');
  close.className = 'link-button';
  close.type = 'button';
  close.textContent = _('Dismiss');
  close.addEventListener('click', () => element.remove());
  element.append(words, ...links.map(([name, href]) => Object.assign(document.createElement('a'), { textContent: name, href })), close);
  document.getElementById('toasts')?.append(element);
  let timer = setTimeout(() => element.remove(), SECONDS * 1000);
  element.addEventListener('pointerenter', () => clearTimeout(timer));
  element.addEventListener('pointerleave', () => (timer = setTimeout(() => element.remove(), SECONDS * 1000)));
}
