/** The contrast of two colors by the server's formula: WCAG 2.2, "contrast ratio". Pure. */

const COLOR = /^#[0-9a-f]{6}$/i;

/** @param {string} color */
export const isColor = (color) => COLOR.test(color);

/** 0 (black) to 1 (white) @param {string} color #RRGGBB */
export function luminance(color) {
  const [red, green, blue] = [1, 3, 5].map((at) => {
    const channel = parseInt(color.slice(at, at + 2), 16) / 255;
    return channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/** Rounded down to two decimals: 2.999 must not read as 3. @param {string} foreground @param {string} background */
export function contrast(foreground, background) {
  const [darker, lighter] = [luminance(foreground), luminance(background)].sort((a, b) => a - b);
  return Math.trunc(((lighter + 0.05) / (darker + 0.05)) * 100) / 100;
}
