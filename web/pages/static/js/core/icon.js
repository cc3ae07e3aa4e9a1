/** Icons of the sprite, as DOM nodes. */
const sprite = new URL('../../img/sprite.svg', import.meta.url).pathname;
const SVG = 'http://www.w3.org/2000/svg';

/** @param {string} name */
export const iconPath = (name) => `${sprite}#${name}`;

/** @param {string} name @returns {SVGElement} */
export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS(SVG, 'use');
  use.setAttribute('href', iconPath(name));
  svg.append(use);
  return svg;
}
