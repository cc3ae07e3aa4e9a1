/** The codes that were selected in another page, which leaves them in the session's storage. */
import { get } from '../../core/api.js';

const STORAGE_KEY = 'waymark-selection';
const PAGE_SIZE = 200;

/** Return what was selected: ids, or a filter; null if nothing was. @returns {{ids?: string[], filter?: Record<string, string>} | null} */
export function readSelection() {
  try {
    const selection = JSON.parse(sessionStorage.getItem(STORAGE_KEY) ?? 'null');
    return selection?.ids?.length || selection?.filter ? selection : null;
  } catch {
    return null;
  }
}

/**
 * Return the ids of all codes that match a filter, in the order of the list. `onCount` hears how many there are so far.
 * @param {string} orgId @param {Record<string, string>} filter @param {number} most @param {(count: number) => void} onCount
 */
export async function resolveFilter(orgId, filter, most, onCount) {
  const ids = [];
  let cursor = '';
  do {
    const query = new URLSearchParams({ ...filter, limit: String(PAGE_SIZE), ...(cursor ? { cursor } : {}) });
    const page = await get(`/api/organizations/${orgId}/qr-codes?${query}`);
    ids.push(...page.items.map((code) => code.id));
    onCount(ids.length);
    cursor = page.next_cursor ?? '';
  } while (cursor && ids.length <= most);
  return ids;
}
