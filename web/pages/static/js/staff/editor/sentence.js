/** A code in one sentence: what a scan of it gives, to whom, where and until when. Pure. */
import { _, language, ngettext } from '../../core/i18n.js';
import { formatDuration } from './durations.js';

/** @param {any} code its fields, as the API has them @param {Date} [now] @returns {string} */
export function describe(code, now = new Date()) {
  const sentences = [`${[gives(code), ...conditions(code, now)].join(', ')}.`];
  if (code.rotating) {
    const seconds = Number(code.rotation_seconds) || 30;
    sentences.push(ngettext('The code changes every second, so a photo of it stops working.', 'The code changes every %(num)s seconds, so a photo of it stops working.', seconds));
  }
  if (!code.active) sentences.push(_('It is turned off.'));
  return sentences.join(' ');
}

function gives(code) {
  const reward = code.reward?.item ? items(code.reward) : '';
  if (code.scan_type === 'item_drop') return reward ? _('Gives each player %(items)s', { items: reward }) : _('Records that a player was here, without a reward');
  if (code.scan_type === 'encounter') {
    const puzzle = _('Opens a puzzle of difficulty %(level)s', { level: code.encounter?.difficulty_level ?? 1 });
    return reward ? _('%(puzzle)s, whose answer gives %(items)s', { puzzle, items: reward }) : puzzle;
  }
  if (code.scan_type === 'transportation') {
    return code.destination_code ? _('Sends players to %(code)s', { code: code.destination_code }) : _('Sends players to a place that is not set yet');
  }
  return code.target_url ? _('Opens %(address)s', { address: address(code.target_url) }) : _('Opens a link that is not set yet');
}

function conditions(code, now) {
  const found = [];
  if (code.scan_type) {
    if (code.per_player_limit === null) found.push(_('as often as they like'));
    else found.push(Number(code.per_player_limit) === 1 ? _('once') : ngettext('up to %(num)s time', 'up to %(num)s times', Number(code.per_player_limit)));
    if (code.cooldown_seconds && code.per_player_limit !== 1) found.push(_('%(duration)s apart', { duration: formatDuration(code.cooldown_seconds) }));
    if (code.requires_location) found.push(where(code));
  }
  if (code.max_scans) found.push(ngettext('for the first scan only', 'for the first %(num)s scans', Number(code.max_scans)));
  if (code.starts_at && new Date(code.starts_at) > now) found.push(_('from %(time)s', { time: day(code.starts_at, now) }));
  if (code.expires_at) found.push(_('until %(time)s', { time: day(code.expires_at, now) }));
  return found;
}

function where({ radius_m: radius, description, latitude }) {
  if (latitude === null || latitude === undefined || latitude === '') return _('at a place that is not set yet');
  const meters = Number(radius);
  const distance = meters < 1000 ? _('%(meters)s m', { meters }) : _('%(kilometers)s km', { kilometers: meters / 1000 });
  // A long description is a story, not the name of a place.
  const place = (description ?? '').trim().replace(/[.\s]+$/, '');
  return place && place.length <= 40 ? _('within %(distance)s of %(place)s', { distance, place }) : _('within %(distance)s of its place', { distance });
}

const items = ({ item, quantity }) => `${new Intl.NumberFormat(language).format(Number(quantity) || 1)} ${item.replaceAll('_', ' ')}`;

function address(url) {
  try {
    const { host, pathname } = new URL(url);
    return host + (pathname === '/' ? '' : pathname);
  } catch {
    return url;
  }
}

/** "December 31", with the year if it is another one and the time if it is neither the start nor the end of the day. */
function day(at, now) {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return String(at);
  const minutes = date.getHours() * 60 + date.getMinutes();
  const isWholeDay = minutes === 0 || minutes === 24 * 60 - 1;
  return new Intl.DateTimeFormat(language, {
    month: 'long', day: 'numeric',
    ...(date.getFullYear() === now.getFullYear() ? {} : { year: 'numeric' }),
    ...(isWholeDay ? {} : { hour: 'numeric', minute: '2-digit' }),
  }).format(date);
}
