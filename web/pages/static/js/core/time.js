/** Dates, times and durations in the language of the page and the time zone of the browser. */
import { _, language } from './i18n.js';

/** @typedef {number | string | Date} Time */

const UNITS = /** @type {[Intl.RelativeTimeFormatUnit, number][]} */ ([
  ['year', 31536000], ['month', 2592000], ['day', 86400], ['hour', 3600], ['minute', 60],
]);

/** @param {Intl.DateTimeFormatOptions} options */
const formatter = (options) => {
  const format = new Intl.DateTimeFormat(language, options);
  return (/** @type {Time} */ at) => format.format(new Date(at));
};

/** Nov 28, 2026, 2:02 PM */
export const shortTime = formatter({ dateStyle: 'medium', timeStyle: 'short' });
/** 2:02 PM */
export const timeOfDay = formatter({ timeStyle: 'short' });
/** 14:02, in every language: on screens that are read from afar */
export const clockTime = formatter({ hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
/** 14:02:31 */
export const secondTime = formatter({ hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
/** Saturday, November 28 */
export const longDay = formatter({ weekday: 'long', month: 'long', day: 'numeric' });
/** Nov 28, of a date such as 2026-11-28 */
export const shortDate = formatter({ month: 'short', day: 'numeric', timeZone: 'UTC' });
/** Saturday 2:02 PM */
export const weekdayTime = formatter({ weekday: 'long', hour: 'numeric', minute: '2-digit' });

/** "5 minutes ago", "yesterday", "in 2 hours" @param {Time} at @param {number} [now] */
export function relativeTime(at, now = Date.now()) {
  const seconds = Math.round((new Date(at).getTime() - now) / 1000);
  const [unit, length] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? ['second', 1];
  const amount = unit === 'second' ? 0 : Math.trunc(seconds / length);
  return new Intl.RelativeTimeFormat(language, { numeric: 'auto' }).format(amount, unit);
}

/** "4 min 12 s" @param {number} seconds */
export function duration(seconds) {
  const minutes = Math.floor(seconds / 60);
  return minutes ? _('%(minutes)s min %(seconds)s s', { minutes, seconds: seconds % 60 }) : _('%(seconds)s s', { seconds });
}

/** Show each `<time>` relative to now, and its date in the tooltip; `data-absolute`: the date, `data-clock`: the time of day. @param {ParentNode} root */
export function showTimes(root = document) {
  for (const element of root.querySelectorAll('time[datetime]')) {
    const at = /** @type {HTMLTimeElement} */ (element).dateTime;
    const show = element.hasAttribute('data-clock') ? secondTime : element.hasAttribute('data-absolute') ? shortTime : relativeTime;
    element.textContent = show(at);
    element.setAttribute('title', shortTime(at));
  }
}
