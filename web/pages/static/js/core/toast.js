/** Short messages at the bottom of the page, which screen readers speak. */
import { _ } from './i18n.js';

const SECONDS = 7;
const NEXT = 'waymark-toast';

/** Show a text on the page of staff that loads next in this tab. @param {string} text */
export const toastNext = (text) => sessionStorage.setItem(NEXT, text);

/** Show what the page before has left. */
export function showNextToast() {
  const text = sessionStorage.getItem(NEXT);
  sessionStorage.removeItem(NEXT);
  if (text) toast(text);
}

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
