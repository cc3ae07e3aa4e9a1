/** Import codes from a CSV file: choose it or drop it, download a template. The steps behind that are an island. */
import { mount } from '../staff/imports/island.js';

const root = /** @type {HTMLElement} */ (document.getElementById('import'));
const zone = /** @type {HTMLElement} */ (document.getElementById('drop-zone'));
const input = /** @type {HTMLInputElement} */ (document.getElementById('file'));
const open = mount(root);

input.addEventListener('change', () => {
  if (input.files?.length) open(input.files[0]);
  // The same file again, corrected meanwhile, is a change too.
  input.value = '';
});
zone.addEventListener('dragover', (event) => {
  event.preventDefault();
  zone.classList.add('is-over');
});
for (const name of ['dragleave', 'drop']) zone.addEventListener(name, () => zone.classList.remove('is-over'));
zone.addEventListener('drop', (event) => {
  event.preventDefault();
  const file = /** @type {DragEvent} */ (event).dataTransfer?.files[0];
  if (file) open(file);
});
// A file that is dropped beside the zone must not replace the page.
for (const name of ['dragover', 'drop']) addEventListener(name, (event) => event.preventDefault());

document.getElementById('template')?.addEventListener('click', () => {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([`\ufeff${root.dataset.columns.split(' ').join(',')}\r\n`], { type: 'text/csv' }));
  link.download = 'codes.csv';
  link.click();
});
