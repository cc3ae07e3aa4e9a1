/** Copy a text, also on plain http, where browsers have no clipboard for pages. */
import { _ } from '../core/i18n.js';
import { toast } from '../core/toast.js';

/** Copy a text and say so. @param {string} text */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    copySelected(text);
  }
  toast(_('Copied'));
}

/** @param {string} text */
function copySelected(text) {
  const focused = /** @type {HTMLElement | null} */ (document.activeElement);
  const area = Object.assign(document.createElement('textarea'), { value: text, className: 'visually-hidden' });
  (focused?.closest('dialog') ?? document.body).append(area);
  area.select();
  document.execCommand('copy');
  area.remove();
  focused?.focus();
}
