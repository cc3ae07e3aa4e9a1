/**
 * The place of a code: on a map, by two numbers, by pasting, or where this device is. Each way does the same, so none
 * of them is needed.
 */
import { get } from '../../core/api.js';
import { _ } from '../../core/i18n.js';
import { normalized, parsePosition } from '../../geo.js';
import { centerOf, createMap } from '../../map.js';
import { findExtent } from '../extent.js';
import { field } from './fields.js';

/** @typedef {import('../../geo.js').Position} Position */

const MIN_M = 5;
const MAX_M = 50000;
const STEPS = 100;
const MOVING_MS = 300;
const MAX_ACCURACY_M = 25000;

/** The radius at a place of the slider, which is logarithmic, as a round number. @param {number} step */
export function radiusAt(step) {
  const exact = MIN_M * (MAX_M / MIN_M) ** (step / STEPS);
  const power = 10 ** Math.floor(Math.log10(exact));
  const round = [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].map((factor) => factor * power);
  return Math.min(MAX_M, Math.max(MIN_M, Math.round(round.reduce((best, each) => (Math.abs(each - exact) < Math.abs(best - exact) ? each : best)))));
}

/** @param {number} radius */
export const stepOf = (radius) => Math.round((STEPS * Math.log(Math.max(MIN_M, radius) / MIN_M)) / Math.log(MAX_M / MIN_M));

/**
 * @param {HTMLFormElement} form @param {{api: string, codeId: string | null, onChange: () => void}} options
 */
export async function bindLocation(form, { api, codeId, onChange }) {
  const [latitude, longitude, radius, slider, paste] = ['latitude', 'longitude', 'radius_m', 'radius', 'paste'].map((name) => field(form, name));
  const button = (name) => /** @type {HTMLButtonElement} */ (form.querySelector(`[data-location=${name}]`));
  const status = /** @type {HTMLElement} */ (document.getElementById('location-status'));
  /** @type {(Position | null)[]} */
  const before = [];
  const say = (text) => (status.textContent = text);
  const current = () => {
    const [lat, lng] = [latitude, longitude].map((input) => (input.value.trim() === '' ? NaN : Number(input.value.replace(',', '.'))));
    return Math.abs(lat) <= 90 && Math.abs(lng) <= 180 ? { latitude: lat, longitude: lng } : null;
  };
  const meters = () => Math.min(MAX_M, Math.max(MIN_M, Number(radius.value) || 50));
  let shown = current();
  // A code without a place is shown where the others are.
  const fetchPlaces = (view) => get(`${api}/places?${new URLSearchParams({ bbox: view.bbox, zoom: String(view.zoom) })}`);
  const others = shown ? null : await findExtent(fetchPlaces).catch(() => null);
  const map = await createMap(document.getElementById('place-map'), { center: shown ?? centerOf(others) });

  const draw = () => {
    const position = current();
    map.setPin(position && { ...position, radius_m: meters() });
    button('clear').hidden = !latitude.value && !longitude.value;
    button('undo').disabled = !before.length;
    shown = position;
    onChange();
  };
  /** Put the code somewhere, and remember where it was. @param {Position | null} position */
  const put = (position, { remember = true } = {}) => {
    if (remember) before.push(shown);
    // A code that gets its first place is checked there. The box beside it turns that off.
    if (position && !shown) field(form, 'requires_location').checked = true;
    if (!position) field(form, 'requires_location').checked = false;
    latitude.value = position ? String(position.latitude) : '';
    longitude.value = position ? String(position.longitude) : '';
    draw();
  };
  map.onMove((position) => put(position));
  map.setPin(shown && { ...shown, radius_m: meters() });
  for (const input of [latitude, longitude]) {
    input.addEventListener('change', () => {
      const previous = shown;
      if (current() || (!latitude.value && !longitude.value)) before.push(previous);
      draw();
    });
  }
  const showRadius = () => {
    slider.setAttribute('aria-valuetext', _('%(meters)s m', { meters: meters() }));
    draw();
  };
  slider.value = String(stepOf(meters()));
  slider.addEventListener('input', () => {
    radius.value = String(radiusAt(Number(slider.value)));
    showRadius();
  });
  radius.addEventListener('input', () => {
    slider.value = String(stepOf(meters()));
    showRadius();
  });
  paste.addEventListener('input', () => {
    const position = parsePosition(paste.value);
    if (!position) {
      say(paste.value.trim().length > 6 ? _('This text has no coordinates. Short links of map apps have none: open the link, then copy its address.') : '');
      return;
    }
    paste.value = '';
    put(position);
    say(_('Moved to %(latitude)s, %(longitude)s.', { latitude: String(position.latitude), longitude: String(position.longitude) }));
  });
  button('clear').addEventListener('click', () => {
    put(null);
    say(_('The code has no place now.'));
  });
  button('undo').addEventListener('click', () => {
    put(before.pop() ?? null, { remember: false });
    say(_('Undone'));
  });
  button('device').addEventListener('click', async () => {
    button('device').setAttribute('aria-busy', 'true');
    // Few people need it, and it belongs to the pages of players.
    const { LocationProblem, locate } = await import('../../player/locate.js');
    say(_('Looking for your position…'));
    try {
      const fix = await locate({ maxAccuracy: MAX_ACCURACY_M, onFix: (accuracy) => say(_('Accurate to %(meters)s m so far…', { meters: Math.round(accuracy) })) });
      put(normalized(fix.latitude, fix.longitude));
      map.show(fix);
      showAccuracy(fix.accuracy);
    } catch (error) {
      if (!(error instanceof LocationProblem)) throw error;
      say(positionProblem(error.kind));
    } finally {
      button('device').removeAttribute('aria-busy');
    }
  });
  // Players' positions are about as accurate, so a smaller radius would turn them away.
  const showAccuracy = (accuracy) => {
    const wide = Math.ceil((2 * accuracy) / 5) * 5;
    say(_('Your position is accurate to %(meters)s m.', { meters: Math.round(accuracy) }));
    if (wide <= meters()) return;
    const widen = document.createElement('button');
    Object.assign(widen, { type: 'button', className: 'link-button', textContent: _('Set the radius to %(meters)s m', { meters: wide }) });
    widen.addEventListener('click', () => {
      radius.value = String(wide);
      radius.dispatchEvent(new Event('input', { bubbles: true }));
      widen.remove();
    });
    status.append(' ', widen);
  };

  if (others?.rows.length) {
    map.setCodes(others, { tone: 'off' });
    map.fit();
  }
  const hasAll = others?.kind === 'codes';
  let timer = 0;
  map.onView((view) => {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      if (hasAll) return;
      const places = await fetchPlaces(view).catch(() => null);
      if (!places) return;
      const rows = places.kind === 'codes' ? places.rows.filter(([id]) => id !== codeId) : places.rows;
      map.setCodes({ ...places, rows }, { tone: 'off' });
    }, MOVING_MS);
  });
  draw();
}

function positionProblem(kind) {
  if (kind === 'insecure') return _('Browsers give a page the position only over https.');
  if (kind === 'denied') return _('Your browser does not give this page the position. Allow it, or type the coordinates.');
  if (kind === 'timeout') return _('No position was found in 10 seconds. Go outside, or type the coordinates.');
  return _('Your position is too rough to place a code. Type the coordinates.');
}
