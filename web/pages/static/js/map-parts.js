/** Parts of maps: marks, pins, words and buttons, as nodes. */
import './map-policy.js';
import { L } from '../vendor/leaflet/leaflet.js';
import { icon } from './core/icon.js';

const TONE_ICONS = { ok: 'check', bad: 'x', held: 'hourglass', info: 'ellipsis', off: 'undo-2' };

/** A circle with a number in it. */
export const Cell = L.CircleMarker.extend({
  _updatePath() {
    this._renderer._updateCircle(this);
    const context = this._renderer._ctx;
    Object.assign(context, { globalAlpha: 1, fillStyle: this.options.color, font: this.options.font, textAlign: 'center', textBaseline: 'middle' });
    context.fillText(this.options.text, this._point.x, this._point.y);
  },
});

/** @param {string} text */
export function words(text) {
  const node = document.createElement('span');
  node.textContent = text;
  return node;
}

export function pinIcon() {
  return L.divIcon({ className: 'map-pin', html: icon('map-pin'), iconSize: [40, 40], iconAnchor: [20, 37] });
}

export function toneIcon(tone, className) {
  return L.divIcon({ className: `${className} tone-${tone}`, html: icon(TONE_ICONS[tone] ?? 'info'), iconSize: [24, 24], iconAnchor: [12, 12] });
}

export function tools(buttons) {
  const bar = document.createElement('div');
  bar.className = 'map-tools';
  for (const [name, label, run] of buttons) {
    const button = document.createElement('button');
    Object.assign(button, { type: 'button', title: label });
    button.setAttribute('aria-label', label);
    button.append(icon(name));
    button.addEventListener('click', run);
    bar.append(button);
  }
  return bar;
}
