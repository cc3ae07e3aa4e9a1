/** The list of scans: its filters load in place. */
import { bindRows } from '../staff/rows.js';
import { suggestTags } from '../staff/tags.js';

bindRows();
const { org } = /** @type {HTMLElement} */ (document.getElementById('rows')).dataset;
suggestTags(/** @type {HTMLInputElement} */ (document.getElementById('tag')), `/api/organizations/${org}/qr-codes`);
