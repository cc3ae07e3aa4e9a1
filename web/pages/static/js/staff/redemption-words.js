/** Why a token cannot be redeemed, in words. */
import { _ } from '../core/i18n.js';
import { clockTime, shortTime } from '../core/time.js';

/** @param {import('../core/api.js').Problem} problem @returns {{title: string, line?: string}} */
export function problemLine({ status, message, body }) {
  if (status === 410) return { title: _('This token has expired.'), line: _('Ask the player to create a new one.') };
  if (status === 404) return { title: _("We don't know this token."), line: _('Scan it again, or ask the player to create a new one.') };
  const first = body?.redemption;
  if (status !== 409 || !first) return { title: message };
  const isToday = new Date(first.at).toDateString() === new Date().toDateString();
  const values = { time: isToday ? clockTime(first.at) : shortTime(first.at), name: first.counter.name };
  return {
    title: isToday ? _('Already redeemed today at %(time)s, by %(name)s.', values) : _('Already redeemed at %(time)s, by %(name)s.', values),
    line: first.undone_at ? _('It was undone since. Ask the player to create a new token.') : undefined,
  };
}
