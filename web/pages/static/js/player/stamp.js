/** Stamps: the name of an item makes its mark, so no image is uploaded. */
import { html } from './parts.js';
import { hash } from './hash.js';

/** Marks of six kinds, in a box of 72 × 72. Two offset rectangles are the sign for a turn on a trail. */
const SHAPES = [
  'M25 22h9v22h-9zM38 28h9v22h-9z',
  'M36 21 52 50H20z',
  'M36 20l5 11 12 1-9 8 3 12-11-6-11 6 3-12-9-8 12-1z',
  'M36 20 52 36 36 52 20 36z',
  'M20 44q4-10 8 0t8 0 8 0 8 0M20 34q4-10 8 0t8 0 8 0 8 0',
  'M36 22a14 14 0 1 0 .01 0zM36 30a6 6 0 1 1-.01 0z',
];
const RINGS = 4;
export const HUES = 12;

/** Return the mark of an item: 6 shapes, 4 rings, 12 hues. @param {string} item */
export function markOf(item) {
  const value = hash(item);
  return { shape: value % SHAPES.length, ring: (value >>> 8) % RINGS, hue: (value >>> 16) % HUES };
}

/** @param {{item: string}} properties */
export function StampMark({ item }) {
  const { shape, ring, hue } = markOf(item);
  return html`
    <svg class=${`stamp-mark hue-${hue}`} viewBox="0 0 72 72" aria-hidden="true">
      ${RING_PARTS[ring]()}
      <path class=${shape === 4 ? 'stamp-line' : 'stamp-fill'} fill-rule="evenodd" d=${SHAPES[shape]} />
    </svg>`;
}

const RING_PARTS = [
  () => html`<circle class="stamp-line" cx="36" cy="36" r="32" /><circle class="stamp-thin" cx="36" cy="36" r="27" />`,
  () => html`<circle class="stamp-line stamp-dotted" cx="36" cy="36" r="31" />`,
  () => html`<rect class="stamp-line" x="5" y="5" width="62" height="62" rx="14" /><rect class="stamp-thin" x="10" y="10" width="52" height="52" rx="9" />`,
  () => html`<path class="stamp-line" d="M36 4 64 20v32L36 68 8 52V20z" />`,
];
