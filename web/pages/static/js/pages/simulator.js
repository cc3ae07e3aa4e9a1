/** The simulator: each change of the form shows the verdict that a scan would get. */
import { icon } from '../core/icon.js';
import { createMap } from '../map.js';
import { verdictOf } from '../player/verdicts.js';
import { bindRows } from '../staff/rows.js';

const form = /** @type {HTMLFormElement} */ (document.getElementById('filters'));
const fields = /** @type {Record<string, HTMLInputElement>} */ (/** @type {any} */ (form.elements));
const map = await createMap(/** @type {HTMLElement} */ (document.getElementById('simulator-map')));
/** @type {{remove: () => void} | null} */
let place = null;
let shownCode = '';

const number = (name) => (fields[name].value.trim() === '' ? NaN : Number(fields[name].value.replace(',', '.')));
const changed = () => form.dispatchEvent(new Event('submit', { cancelable: true }));

/** Move the pin to the position of the form. */
function showPin() {
  const [latitude, longitude] = [number('latitude'), number('longitude')];
  const isPosition = Math.abs(latitude) <= 90 && Math.abs(longitude) <= 180;
  map.setPin(isPosition ? { latitude, longitude, radius_m: number('accuracy') || 0 } : null);
}

/** Mark the fields that a problem is about. @param {string | undefined} problem */
function markFields(problem) {
  for (const name of ['player', 'latitude', 'longitude', 'accuracy', 'at']) {
    const isWrong = name === problem || (problem === 'position' && name.endsWith('tude'));
    if (isWrong) fields[name].setAttribute('aria-invalid', 'true');
    else fields[name].removeAttribute('aria-invalid');
  }
}

/** Draw the verdict as on a phone, and the place of the code. */
function show() {
  const { latitude, longitude, radius, code = '', problem } = /** @type {HTMLElement} */ (document.getElementById('rows')).dataset;
  markFields(problem);
  if (code !== shownCode) {
    place?.remove();
    place = null;
    shownCode = code;
    if (latitude) place = map.addPoint({ latitude: Number(latitude), longitude: Number(longitude), radius_m: Number(radius), tone: 'ok', title: code });
    map.fit();
  }
  const box = document.getElementById('verdict');
  if (!box) return;
  const verdict = JSON.parse(box.dataset.verdict ?? '{}');
  const scan = /** @type {any} */ ({ state: 'settled', qr_code: box.dataset.code, verdict });
  const { icon: name, tone, headline, line } = verdictOf(scan);
  const page = document.createElement('div');
  page.className = `verdict tone-${tone}`;
  const mark = document.createElement('div');
  mark.className = 'verdict-mark';
  mark.append(icon(name));
  const heading = document.createElement('p');
  heading.className = 'phone-headline';
  heading.textContent = headline;
  const words = document.createElement('p');
  words.textContent = line;
  page.append(mark, heading, words);
  box.replaceChildren(page);
}

map.onMove(({ latitude, longitude }) => {
  fields.latitude.value = latitude.toFixed(6);
  fields.longitude.value = longitude.toFixed(6);
  if (!fields.accuracy.value) fields.accuracy.value = '10';
  showPin();
  changed();
});
form.addEventListener('input', () => {
  const at = new Date(fields.at.value);
  fields.offset.value = Number.isNaN(at.getTime()) ? '' : String(at.getTimezoneOffset());
  showPin();
}, true);
document.getElementById('no-position')?.addEventListener('click', () => {
  for (const name of ['latitude', 'longitude', 'accuracy']) fields[name].value = '';
  showPin();
  changed();
});
bindRows({ onChange: show });
showPin();
show();
