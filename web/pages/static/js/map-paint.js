/** Colors of the tokens for a canvas, which no style sheet reaches. They follow the color scheme. */

/** @param {HTMLElement} element */
export function makePaint(element) {
  const probe = document.createElement('span');
  probe.hidden = true;
  element.append(probe);
  const color = (token) => {
    probe.style.color = `var(--${token})`;
    return getComputedStyle(probe).color;
  };
  const colors = ({ stroke, fill }) => ({
    ...(stroke ? { color: color(stroke) } : { stroke: false }),
    ...(fill ? { fillColor: color(fill), fill: true } : { fill: false }),
  });
  return {
    /** Return the options of a layer that is drawn in these tokens. */
    paint: (tokens, options = {}) => ({ ...colors(tokens), tokens, ...options }),
    /** Draw again when the color scheme changes. Return a function that ends it. */
    repaint(map) {
      const dark = matchMedia('(prefers-color-scheme: dark)');
      const draw = () => map.eachLayer((layer) => layer.options.tokens && layer.setStyle?.(colors(layer.options.tokens)));
      dark.addEventListener('change', draw);
      return () => dark.removeEventListener('change', draw);
    },
  };
}
