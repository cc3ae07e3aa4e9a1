/** The page of a code: its sentence, downloads in millimeters, and parts that load when they are opened. */
import { bindCharts } from '../chart.js';
import { Problem, send } from '../core/api.js';
import { _, ngettext } from '../core/i18n.js';
import { toast, toastNext } from '../core/toast.js';
import { confirmed } from '../staff/dialogs.js';
import { describe } from '../staff/editor/sentence.js';
import { replaceFragment } from '../staff/fragment.js';
import { followRotatingCode } from '../staff/rotating-image.js';

/** Units per inch: pixels at the resolution of a PNG, CSS pixels, points. */
const UNITS = { png: 300, svg: 96, pdf: 72 };
const MM_PER_INCH = 25.4;
const root = document.getElementById('code-page');
const { api, code: name } = root.dataset;
const { code } = JSON.parse(document.getElementById('code').textContent);

document.getElementById('sentence').textContent = describe(code);
bindDownload(/** @type {HTMLFormElement | null} */ (document.getElementById('download')));
bindTabs();
mountPanel();
const rotating = /** @type {HTMLElement | null} */ (root.querySelector('[data-rotating]'));
if (rotating) followRotatingCode(rotating, api);

root.addEventListener('click', async (event) => {
  const target = /** @type {Element} */ (event.target);
  const toggle = /** @type {HTMLElement | null} */ (target.closest('[data-set-active]'));
  try {
    if (toggle) {
      await send('PATCH', api, { body: { active: toggle.dataset.setActive === 'true' } });
      toastNext(_('Saved'));
      location.reload();
    } else if (target.closest('[data-delete]')) {
      const heading = _('Delete %(code)s?', { code: name });
      const text = _('Its scans are kept. Prints of it stop working.');
      if (!(await confirmed({ heading, text, action: _('Delete'), danger: true }))) return;
      await send('DELETE', api);
      toastNext(ngettext('%(count)s code deleted', '%(count)s codes deleted', 1, { count: 1 }));
      location.assign(`${document.body.dataset.base}/codes`);
    }
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    toast(error.message);
  }
});

/** @param {HTMLFormElement | null} form */
function bindDownload(form) {
  if (!form) return;
  const [format, size] = ['format', 'size'].map((field) => /** @type {HTMLInputElement} */ (form.elements.namedItem(field)));
  const status = document.getElementById('print-size');
  const copyImage = /** @type {HTMLElement} */ (form.querySelector('[data-copy-image]'));
  const address = (changes = {}) => `${form.getAttribute('action')}?${new URLSearchParams({ ...Object.fromEntries(/** @type {any} */ (new FormData(form))), ...changes })}`;
  const measure = () => {
    const mm = (Number(size.value) / UNITS[format.value]) * MM_PER_INCH;
    const rounded = mm < 100 ? Math.round(mm * 10) / 10 : Math.round(mm);
    const words = { millimeters: rounded, distance: Math.round(mm) };
    status.textContent = format.value === 'png'
      ? _('%(millimeters)s mm at 300 dpi. Readable from about %(distance)s cm.', words)
      : _('%(millimeters)s mm in print. Readable from about %(distance)s cm.', words);
  };
  form.addEventListener('input', measure);
  measure();
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    // The same address, as a file instead of a page.
    const link = document.createElement('a');
    link.href = address();
    link.download = `qr-${name}.${format.value}`;
    link.click();
  });
  copyImage.hidden = typeof ClipboardItem === 'undefined' || !navigator.clipboard?.write;
  copyImage.addEventListener('click', async () => {
    // The promise itself, not its value: Safari asks for it within the click.
    const image = fetch(address({ format: 'png' })).then((response) => response.blob());
    try {
      await navigator.clipboard.write([new ClipboardItem({ 'image/png': image })]);
      toast(_('Copied'));
    } catch {
      toast(_('Your browser did not copy the image. Download it instead.'));
    }
  });
}

/** Each part has its own address: #scans. The server renders the first one, or the one in `?tab=`. */
function bindTabs() {
  const tabs = /** @type {HTMLAnchorElement[]} */ ([...document.querySelectorAll('[data-tab]')]);
  const open = async (path, tab) => {
    for (const each of tabs) {
      if (each === tab) each.setAttribute('aria-current', 'true');
      else each.removeAttribute('aria-current');
    }
    history.replaceState(null, '', `${location.pathname}#${tab.dataset.tab}`);
    await replaceFragment(path, 'panel');
    mountPanel();
  };
  const ofHash = () => tabs.find((each) => `#${each.dataset.tab}` === location.hash);
  document.addEventListener('click', (event) => {
    if (event.ctrlKey || event.metaKey) return;
    const link = /** @type {HTMLAnchorElement | null} */ (/** @type {Element} */ (event.target).closest('[data-tab], [data-panel-link]'));
    if (!link) return;
    event.preventDefault();
    open(link.href, 'tab' in link.dataset ? link : tabs.find((each) => each.hasAttribute('aria-current')));
  });
  addEventListener('hashchange', () => {
    const tab = ofHash();
    if (tab) open(tab.href, tab);
  });
  const first = ofHash();
  if (first && !first.hasAttribute('aria-current')) open(first.href, first);
}

/** Bring the open part to life: charts with a cursor, or the map. */
async function mountPanel() {
  bindCharts();
  const box = document.getElementById('code-map');
  if (!box) return;
  const { createMap } = await import('../map.js');
  const place = { latitude: code.latitude, longitude: code.longitude };
  const map = await createMap(box, { center: place });
  map.setPin({ ...place, radius_m: code.radius_m });
  map.fit();
}
