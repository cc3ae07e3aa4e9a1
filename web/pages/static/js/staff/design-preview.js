/** The preview of a design, which the server renders and reads, and its proofs. */
import { Problem, send } from '../core/api.js';
import { _, english } from '../core/i18n.js';
import { icon } from '../core/icon.js';
import { contrast, isColor, luminance } from './contrast.js';

const WAIT_MS = 180;

/** @typedef {{foreground_color: string, background_color: string, style: string, logo_size_percent: string | number, logo: File | null, remove_logo: boolean, has_logo: boolean}} Design */

/**
 * @param {string} api @param {number} minContrast @param {string | null} code
 * @param {(suggestion: Record<string, string | number>) => void} onSuggestion called with the fields to change
 */
export function makePreview(api, minContrast, code, onSuggestion) {
  const box = document.getElementById('preview');
  const images = /** @type {NodeListOf<HTMLImageElement>} */ (document.querySelectorAll('[data-image]'));
  const refused = document.getElementById('refused');
  const fix = refused.querySelector('button');
  let loading = new AbortController();
  let timer = 0;
  let url = '';

  const prove = (name, state, text) => {
    const line = document.getElementById(`proof-${name}`);
    line.className = `proof tone-${{ yes: 'ok', no: 'bad', wait: 'off' }[state]}`;
    line.replaceChildren(icon({ yes: 'check', no: 'x', wait: 'ellipsis' }[state]), text);
  };
  /** What needs no image: while a color is dragged. @param {Design} design */
  const proveContrast = ({ foreground_color: foreground, background_color: background }) => {
    if (!isColor(foreground) || !isColor(background)) return;
    const ratio = contrast(foreground, background);
    if (luminance(foreground) > luminance(background)) prove('contrast', 'no', _('The modules must be darker than the background'));
    else if (ratio < minContrast) prove('contrast', 'no', _('Contrast %(ratio)s:1, at least %(least)s:1 is needed', { ratio, least: minContrast }));
    else prove('contrast', 'yes', _('Contrast %(ratio)s:1', { ratio }));
  };
  const show = async (response, design) => {
    const old = url;
    url = URL.createObjectURL(await response.blob());
    const words = alternative(code, design);
    for (const [index, image] of images.entries()) {
      image.src = url;
      image.alt = index ? '' : words;
      image.hidden = false;
    }
    if (old) URL.revokeObjectURL(old);
    box.classList.remove('is-refused');
    refused.hidden = true;
    prove('readable', 'yes', _('Readable'));
    const level = response.headers.get('X-Error-Correction');
    prove('level', 'yes', design.has_logo ? _('Error correction H, because of the logo') : _('Error correction %(level)s', { level }));
  };
  const refuse = (problem) => {
    box.classList.add('is-refused');
    refused.querySelector('p').textContent = problem.errors.map(({ message }) => english(message)).join(' ') || _('Cameras cannot read this design.');
    const suggestion = problem.body?.suggestion;
    fix.hidden = !suggestion;
    if (suggestion) {
      fix.textContent = suggestion.foreground_color
        ? _('Darken to %(color)s', { color: suggestion.foreground_color })
        : _('Shrink logo to %(percent)s%%', { percent: suggestion.logo_size_percent });
      fix.onclick = () => onSuggestion(suggestion);
    }
    refused.hidden = false;
    prove('readable', 'no', _('Not readable'));
  };
  const render = async (/** @type {Design} */ design) => {
    loading.abort();
    loading = new AbortController();
    const { signal } = loading;
    box.setAttribute('aria-busy', 'true');
    prove('readable', 'wait', _('Checking…'));
    try {
      const { response } = await send('POST', `${api}/preview`, { body: formOf(design), signal, raw: true });
      await show(response, design);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Problem)) throw error;
      if (error.status === 422) refuse(error);
      else prove('readable', 'no', error.message);
    }
    if (!signal.aborted) box.removeAttribute('aria-busy');
  };
  return {
    /** Show a design soon; the image before it stays until then. @param {Design} design @param {{now?: boolean}} [options] */
    update(design, { now = false } = {}) {
      clearTimeout(timer);
      proveContrast(design);
      timer = setTimeout(() => render(design), now ? 0 : WAIT_MS);
    },
  };
}

/** @param {Design} design */
function formOf({ logo, remove_logo: remove, foreground_color, background_color, style, logo_size_percent }) {
  const form = new FormData();
  for (const [name, value] of Object.entries({ foreground_color, background_color, style, logo_size_percent })) form.append(name, String(value));
  if (logo) form.append('logo', logo);
  else if (remove) form.append('remove_logo', 'true');
  return form;
}

/** "QR code spy123, #14532D on #FFFFFF, rounded modules, with logo" */
function alternative(code, design) {
  const name = code ? _('QR code %(code)s', { code }) : _('A QR code');
  const style = { squares: _('square modules'), rounded: _('rounded modules'), dots: _('dots') }[design.style];
  return [name, _('%(foreground)s on %(background)s', { foreground: design.foreground_color, background: design.background_color }), style, ...(design.has_logo ? [_('with logo')] : [])].join(', ');
}
