/** Start a render: which codes, labels or images, the first sheet as a drawing, and how much it will be. */
import { Problem } from '../core/api.js';
import { bindForm, showProblem } from '../core/form.js';
import { _, ngettext } from '../core/i18n.js';
import { duration } from '../core/time.js';
import { readSelection, resolveFilter } from '../staff/renders/selection.js';
import { markLabels } from '../staff/renders/sheets.js';
import { bindTemplates } from '../staff/renders/templates.js';

/** Codes a second of one worker, as measured on two cores. */
const RATES = { label_sheet: 300, png: 500, svg: 150, pdf: 400 };
const MM_PER_INCH = 25.4;
const DPI = 300;
const form = /** @type {HTMLFormElement | null} */ (document.getElementById('render'));

if (form) bindRender(form);

/** @param {HTMLFormElement} form */
function bindRender(form) {
  const { orgId, base } = form.dataset;
  const maxCodes = Number(form.dataset.maxCodes);
  const field = (name) => /** @type {any} */ (form.elements.namedItem(name));
  const byId = (id) => /** @type {any} */ (document.getElementById(id));
  let ids = /** @type {string[]} */ ([]);

  const count = () => ({
    all: () => Number(form.dataset.total),
    tag: () => Number(field('tag').selectedOptions[0].dataset.codes),
    selection: () => ids.length,
  })[field('which').value]();
  const isSheet = () => field('output').value === 'label_sheet';
  const card = () => /** @type {HTMLElement} */ (form.querySelector('.sheet-card:has(:checked)'));
  const startAt = () => Math.min(Number(card().dataset.labels), Math.max(1, Math.floor(Number(field('label.start_at').value)) || 1));

  /** Show what belongs to the choices, and what will come of them. */
  const show = () => {
    if (byId('tag-field')) byId('tag-field').hidden = field('which').value !== 'tag';
    for (const part of /** @type {NodeListOf<HTMLElement>} */ (form.querySelectorAll('[data-output]'))) part.hidden = part.dataset.output !== field('output').value;
    const codes = count();
    const size = Number(field('size').value);
    byId('size-hint').textContent = size
      ? _('%(mm)s mm at 300 dpi, readable from about %(cm)s cm', { mm: Math.round((size / DPI) * MM_PER_INCH), cm: Math.round((size / DPI) * MM_PER_INCH) })
      : '';
    byId('summary-heading').textContent = isSheet() ? _('First sheet') : _('Summary');
    byId('first-sheet').hidden = !isSheet();
    if (isSheet()) {
      const drawing = /** @type {Element} */ (card().querySelector('svg')).cloneNode(true);
      byId('first-sheet').replaceChildren(drawing);
      markLabels(/** @type {Element} */ (drawing), startAt(), codes);
    }
    byId('estimate').textContent = estimate(codes);
  };

  const estimate = (codes) => {
    const rate = RATES[isSheet() ? 'label_sheet' : field('format').value];
    const time = duration(Math.max(1, Math.round(codes / rate)));
    const codesInWords = ngettext('%(num)s code', '%(num)s codes', codes);
    if (!isSheet()) return _('%(codes)s, about %(time)s', { codes: codesInWords, time });
    const sheets = Math.ceil((codes + startAt() - 1) / Number(card().dataset.labels));
    return _('%(codes)s on %(sheets)s, about %(time)s', { codes: codesInWords, sheets: ngettext('%(num)s sheet', '%(num)s sheets', sheets), time });
  };

  const read = () => {
    const which = field('which').value;
    const selected = { all: { all: true }, tag: { tag: field('tag')?.value }, selection: { qr_ids: ids } }[which];
    const output = field('output').value;
    const common = { ...selected, output, error_correction: field('error_correction').value };
    if (output === 'zip') return { ...common, format: field('format').value, size: Number(field('size').value) };
    return { ...common, label: { template: field('label.template').value, caption: field('label.caption').value, start_at: Number(field('label.start_at').value) } };
  };

  /** Take over the codes that were selected in the list. */
  const carryOver = async () => {
    const selection = readSelection();
    // A filter without conditions means all codes, which the form has anyway.
    if (!selection || (selection.filter && !Object.keys(selection.filter).length)) return;
    byId('selected-codes').hidden = false;
    field('which').value = 'selection';
    const showCount = (number) => {
      byId('selected-count').textContent = ngettext('%(num)s code', '%(num)s codes', number);
    };
    ids = selection.ids ?? [];
    if (selection.filter) {
      const button = /** @type {Element} */ (form.querySelector('[type=submit]'));
      button.setAttribute('aria-busy', 'true');
      ids = await resolveFilter(String(orgId), selection.filter, maxCodes, showCount).finally(() => button.removeAttribute('aria-busy'));
      // In the order in which they were made, as all codes are.
      ids.reverse();
    }
    showCount(ids.length);
    show();
  };

  bindForm(form, {
    path: `/api/organizations/${orgId}/renders`,
    idempotent: true,
    read,
    onProblem(problem) {
      // Each code of the selection has its error, with the same words.
      const rotating = problem.errors.filter(({ loc }) => loc.startsWith('body.qr_ids.'));
      if (rotating.length) showProblem(form, new Problem(problem.status, { detail: [...new Set(rotating.map(({ message }) => message))].join(' ') }));
    },
    onSuccess({ render_id: id }) {
      sessionStorage.removeItem('waymark-selection');
      location.assign(`${base}/renders/${id}`);
    },
  });
  form.addEventListener('input', show);
  byId('first-sheet').addEventListener('click', (event) => {
    const labels = [...byId('first-sheet').querySelectorAll('.sheet-label')];
    const index = labels.indexOf(/** @type {Element} */ (event.target).closest('.sheet-label'));
    if (index < 0) return;
    field('label.start_at').value = String(index + 1);
    show();
  });
  bindTemplates();
  show();
  carryOver().catch((error) => {
    if (!(error instanceof Problem)) throw error;
    showProblem(form, error);
  });
}
