/** Contour lines of a hill that exists only on this page: the ornament of empty states and verdicts. Pure. */
import { hash, random } from './hash.js';

const LINES = 7;
const POINTS = 24;
const WIDTH = 200;
const HEIGHT = 120;

/**
 * Return the lines as SVG paths in a box of 200 × 120, from the inside to the outside. Equal ids give equal lines.
 * @param {string} id
 * @returns {string[]}
 */
export function contourPaths(id) {
  const next = random(hash(id));
  const center = [WIDTH * (0.35 + 0.3 * next()), HEIGHT * (0.35 + 0.3 * next())];
  const stretch = 1.2 + 0.6 * next();
  const waves = [2, 3, 5].map((count) => ({ count, phase: 2 * Math.PI * next(), height: (0.1 + 0.16 * next()) / Math.sqrt(count) }));
  return Array.from({ length: LINES }, (_line, line) => {
    const radius = 8 + line * 13;
    const points = Array.from({ length: POINTS }, (_point, point) => {
      const angle = (2 * Math.PI * point) / POINTS;
      const wave = waves.reduce((sum, { count, phase, height }) => sum + height * Math.sin(count * angle + phase + line * 0.18), 1);
      return [center[0] + radius * stretch * wave * Math.cos(angle), center[1] + radius * wave * Math.sin(angle)];
    });
    return closedCurve(points);
  });
}

/** Return the lines as an element. @param {string} id @returns {SVGElement} */
export function contour(id) {
  const SVG = 'http://www.w3.org/2000/svg';
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('class', 'contour');
  svg.setAttribute('viewBox', `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute('preserveAspectRatio', 'xMidYMid slice');
  svg.setAttribute('aria-hidden', 'true');
  for (const d of contourPaths(id)) {
    const path = document.createElementNS(SVG, 'path');
    path.setAttribute('d', d);
    svg.append(path);
  }
  return svg;
}

/** Join points by quadratic curves through the middles between them: no corner remains. @param {number[][]} points */
function closedCurve(points) {
  /** @param {number[]} one @param {number[]} other */
  const middle = ([a, b], [c, d]) => [(a + c) / 2, (b + d) / 2];
  const write = (point) => point.map((value) => value.toFixed(1)).join(' ');
  const curves = points.map((point, index) => `Q${write(point)} ${write(middle(point, points[(index + 1) % points.length]))}`);
  return `M${write(middle(points[points.length - 1], points[0]))}${curves.join('')}Z`;
}
