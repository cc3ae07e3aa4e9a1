/** The reasons of verdicts in the words of staff. The same words as `templates/parts/reasons.html`. */
import { _ } from '../core/i18n.js';

/** @type {Record<string, string>} */
export const reasons = {
  too_late: _('Sent too late'),
  unknown_code: _('Unknown code'),
  forged_code: _('Not a genuine code'),
  stale_code: _('Outdated rotating code'),
  inactive: _('Code is turned off'),
  not_started: _("Code isn't open yet"),
  expired: _('Code has expired'),
  location_required: _('No location shared'),
  better_location_needed: _('Location too inaccurate'),
  not_present: _('Too far from the code'),
  player_limit: _('Limit per player reached'),
  cooldown: _('Scanned again too soon'),
  sold_out: _('No uses left'),
  impossible_travel: _('Impossible travel'),
  identical_coordinates: _('Identical coordinates'),
  burst: _('Too many scans at once'),
  late: _('Arrived late'),
  not_judged: _("Couldn't be judged"),
};

/** @param {string | null | undefined} reason */
export const reasonWords = (reason) => (reason ? reasons[reason] ?? reason : '');
