/** The list of codes: filters, a row that creates a code, the menu of each code, a selection, and keys. */
import { bindForm } from '../core/form.js';
import { _ } from '../core/i18n.js';
import { toast } from '../core/toast.js';
import { bindCodeMenu } from '../staff/code-menu.js';
import { bindCodeSelection } from '../staff/code-selection.js';
import { loadFragment, replaceFragment } from '../staff/fragment.js';
import { shortcut } from '../staff/keys.js';
import { bindRows } from '../staff/rows.js';
import { suggestTags } from '../staff/tags.js';

const base = document.body.dataset.base;
const api = `/api/organizations/${document.getElementById('codes')?.dataset.orgId}/qr-codes`;
const list = /** @type {NonNullable<ReturnType<typeof bindCodeSelection>>} */ (bindCodeSelection(api, reload));

bindRows({ onChange: list.refresh });
bindCodeMenu(api, replaceRow);
for (const input of document.querySelectorAll('input[list=tags]')) suggestTags(/** @type {HTMLInputElement} */ (input), api);
bindQuickCreate();
bindListKeys();

/** Load the rows again, after many of them have changed. */
async function reload() {
  await replaceFragment(location.pathname + location.search, 'rows');
  list.refresh();
  document.getElementById('rows')?.focus();
}

/** Load one row again. @param {string} id */
async function replaceRow(id) {
  const [row] = await loadFragment(`${base}/codes?row=${id}`, `tr[data-id="${id}"]`);
  const old = document.querySelector(`tr[data-id="${id}"]`);
  if (row) old?.replaceWith(row);
  else old?.remove();
  await updateTotal();
}

/** Show how many codes match now. The rows stay, also those that were loaded later. */
async function updateTotal() {
  const [loaded] = /** @type {HTMLElement[]} */ (await loadFragment(location.pathname + location.search, '#rows'));
  const open = /** @type {HTMLElement} */ (document.getElementById('rows'));
  if (!open.querySelector('tr[data-id]') || !loaded.querySelector('.list-count')) {
    open.replaceWith(loaded);
  } else {
    Object.assign(open.dataset, loaded.dataset);
    open.querySelector('.list-count span')?.replaceWith(/** @type {Element} */ (loaded.querySelector('.list-count span')));
  }
  list.refresh();
}

/** Enter creates a code with a generated text, which appears as the first row. */
function bindQuickCreate() {
  const form = /** @type {HTMLFormElement | null} */ (document.getElementById('quick-create'));
  if (!form) return;
  const [description, type, link] = ['description', 'scan_type', 'target_url'].map((name) => /** @type {HTMLInputElement} */ (form.elements.namedItem(name)));
  const linkField = /** @type {HTMLElement} */ (link.closest('.field'));
  const showLink = () => (linkField.hidden = type.value !== '');
  type.addEventListener('change', showLink);
  showLink();
  bindForm(form, {
    path: api,
    idempotent: true,
    read: () => ({ description: description.value, scan_type: type.value || null, ...(type.value ? {} : { target_url: link.value }) }),
    onSuccess: async (created) => {
      description.value = link.value = '';
      description.focus();
      toast(_('Code %(code)s created', { code: created.code }));
      await addRow(created.id);
    },
  });
}

/** Show a new code on top, whatever the filters are. @param {string} id */
async function addRow(id) {
  const [row] = await loadFragment(`${base}/codes?row=${id}`, `tr[data-id="${id}"]`);
  document.querySelector('#rows [data-rows]')?.prepend(row);
  row.classList.add('is-new');
  await updateTotal();
}

function bindListKeys() {
  const rows = () => /** @type {HTMLElement[]} */ ([...document.querySelectorAll('#rows tr[data-id]')]);
  const current = () => /** @type {HTMLElement | null} */ (document.activeElement?.closest('tr[data-id]') ?? null);
  const move = (/** @type {number} */ step) => {
    const all = rows();
    const row = current();
    const next = row ? all[all.indexOf(row) + step] : all[0];
    /** @type {HTMLElement | null | undefined} */ (next?.querySelector('.list-code'))?.focus();
  };
  shortcut('j', _('Next code'), () => move(1));
  shortcut('k', _('Previous code'), () => move(-1));
  const isAdmin = Boolean(document.getElementById('bulk'));
  if (isAdmin) shortcut('x', _('Select the code'), () => /** @type {HTMLElement | null} */ (current()?.querySelector('[data-select]'))?.click());
  if (isAdmin) shortcut('e', _('Edit the code'), () => current() && location.assign(`${base}/codes/${current()?.dataset.id}/edit`));
  shortcut('d', _('Download the code'), () => {
    const row = current();
    if (!row || 'rotating' in row.dataset) return;
    const link = document.createElement('a');
    link.href = `${api}/${row.dataset.id}/image?format=png&size=1000`;
    link.download = '';
    link.click();
  });
}
