/** What releasing and annulling scans means, in words: the question before it, and what came of it. */
import { _, ngettext } from '../core/i18n.js';
import { clockTime, shortTime } from '../core/time.js';
import { confirmed } from './dialogs.js';

/** @typedef {'release' | 'annul'} Action */

/**
 * Ask before a review, with its consequence.
 * @param {Action} action @param {DOMStringMap[]} scans with player, reward and quantity
 */
export function ask(action, scans) {
  const isRelease = action === 'release';
  const [{ player = '', reward, quantity = '' }] = scans;
  const values = { player, reward: `${quantity} ${reward}` };
  let heading = isRelease ? _('Release this scan?') : _('Annul this scan?');
  let text = isRelease ? _("It counts as %(player)s's success.", values) : _("It doesn't count for %(player)s.", values);
  if (reward) text = isRelease ? _('%(player)s receives %(reward)s.', values) : _('%(player)s loses %(reward)s.', values);
  if (scans.length > 1) {
    const { length: num } = scans;
    heading = isRelease ? ngettext('Release %(num)s scan?', 'Release %(num)s scans?', num) : ngettext('Annul %(num)s scan?', 'Annul %(num)s scans?', num);
    text = isRelease ? _('Their players receive the rewards.') : _('Their players lose the rewards.');
  }
  return confirmed({ heading, text, action: isRelease ? _('Release') : _('Annul'), danger: !isRelease });
}

/** Ask whether to release a scan of a code that has no uses left. @param {string} player */
export const askBeyondStock = (player) =>
  confirmed({
    heading: _('No uses left'),
    text: _('The code has no uses left. Release the scan of %(player)s anyway?', { player }),
    action: _('Release anyway'),
  });

/** @param {Action} action @param {number} count */
export const done = (action, count) =>
  action === 'release' ? ngettext('Released %(num)s scan.', 'Released %(num)s scans.', count) : ngettext('Annulled %(num)s scan.', 'Annulled %(num)s scans.', count);

/** "Already released by ada at 14:02." Empty for a scan that was not reviewed. @param {DOMStringMap} scan */
export function already({ status, reviewer, reviewedAt }) {
  if (!reviewedAt) return '';
  const isToday = new Date(reviewedAt).toDateString() === new Date().toDateString();
  const values = { name: reviewer ?? '', time: isToday ? clockTime(reviewedAt) : shortTime(reviewedAt) };
  if (status === 'success') return reviewer ? _('Already released by %(name)s at %(time)s.', values) : _('Already released at %(time)s.', values);
  return reviewer ? _('Already annulled by %(name)s at %(time)s.', values) : _('Already annulled at %(time)s.', values);
}
