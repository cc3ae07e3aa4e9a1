/** The progress of a large import. The page shows its end. */
import { Problem } from '../core/api.js';
import { _ } from '../core/i18n.js';
import { replaceFragment, showFailure } from '../staff/fragment.js';
import { poll } from '../staff/upload.js';

const root = /** @type {HTMLElement} */ (document.getElementById('import'));
/** Then all rows are checked. The codes are added at once. */
const CHECKED = 50;
const isDone = ({ status }) => ['done', 'checked', 'failed'].includes(status);

async function follow() {
  const bar = /** @type {HTMLProgressElement} */ (root.querySelector('progress'));
  try {
    await poll(root.dataset.statusUrl ?? '', isDone, ({ progress }) => {
      const percent = Math.floor(100 * progress);
      bar.value = percent;
      /** @type {HTMLElement} */ (document.getElementById('percent')).textContent = _('%(percent)s%%', { percent });
      /** @type {HTMLElement} */ (document.getElementById('phase')).textContent = percent < CHECKED ? _('Checking the rows') : _('Adding the codes');
      document.title = document.title.replace(/^(\d+% · )?/, `${percent}% · `);
    });
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return showFailure(root, error, follow);
  }
  document.title = document.title.replace(/^\d+% · /, '');
  await replaceFragment(location.pathname, 'import');
  /** @type {HTMLElement | null} */ (document.querySelector('#import h2'))?.focus();
}

if (root.dataset.statusUrl) follow();
