/** Drawings of label sheets, from their measures in millimeters, as the server draws them. */
const SVG = 'http://www.w3.org/2000/svg';
const MOST_LABELS = 200;

function shape(name, attributes, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  made.append(...children);
  return made;
}

/** Return the drawing of a sheet. Labels without room on the page are drawn all the same. @param {Record<string, number>} sheet */
export function drawSheet(sheet) {
  const { page_width_mm: width, page_height_mm: height, label_width_mm: labelWidth, label_height_mm: labelHeight } = sheet;
  const svg = shape('svg', { class: 'sheet', viewBox: `0 0 ${width || 1} ${height || 1}`, 'aria-hidden': true }, shape('rect', { class: 'sheet-page', width, height, rx: 2 }));
  const side = 0.6 * Math.min(labelWidth, labelHeight);
  for (let index = 0; index < Math.min(MOST_LABELS, sheet.columns * sheet.rows); index += 1) {
    const x = sheet.left_margin_mm + (index % sheet.columns) * sheet.column_pitch_mm;
    const y = sheet.top_margin_mm + Math.floor(index / sheet.columns) * sheet.row_pitch_mm;
    svg.append(shape('g', { class: 'sheet-label' },
      shape('rect', { x, y, width: labelWidth, height: labelHeight, rx: 1.5 }),
      shape('rect', { class: 'sheet-code', x: x + side / 3, y: y + (labelHeight - side) / 2, width: side, height: side })));
  }
  return svg;
}

/** Let the labels before `start` of a drawing be blank, and those behind the last of `codes`. @param {Element} svg */
export function markLabels(svg, start, codes) {
  svg.querySelectorAll('.sheet-label').forEach((label, index) => label.classList.toggle('is-blank', index < start - 1 || index >= start - 1 + codes));
}
