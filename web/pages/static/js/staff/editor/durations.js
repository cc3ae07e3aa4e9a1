/** Durations as people write them: "1 h 30 min". Pure. */

const UNITS = { d: 86400, h: 3600, min: 60, m: 60, s: 1 };
const FORM = /^(?:\d+(?:[.,]\d+)?\s*[a-z]*\s*)+$/i;
const PART = /(\d+(?:[.,]\d+)?)\s*([a-z]*)/gi;
const NAMES = [
  [/^(d|days?|tage?|dag|dagen)$/, 'd'],
  [/^(h|hrs?|hours?|std|stunden?|u|uur)$/, 'h'],
  [/^(m|mins?|minutes?|minuten?|minuut)$/, 'min'],
  [/^(s|secs?|seconds?|sek|sekunden?|seconden?)$/, 's'],
];

/** "1 h 30 min"; empty for 0. @param {number | null} seconds */
export function formatDuration(seconds) {
  let rest = seconds ?? 0;
  const parts = [];
  for (const unit of ['d', 'h', 'min', 's']) {
    const amount = Math.floor(rest / UNITS[unit]);
    rest -= amount * UNITS[unit];
    if (amount) parts.push(`${amount} ${unit}`);
  }
  return parts.join(' ');
}

/** Return whole seconds, 0 for an empty text, or null for one that is no duration. A number alone is minutes. @param {string} text */
export function parseDuration(text) {
  const trimmed = text.trim();
  if (!trimmed) return 0;
  if (!FORM.test(trimmed)) return null;
  let seconds = 0;
  for (const [, amount, unit] of trimmed.matchAll(PART)) {
    const name = unit ? NAMES.find(([pattern]) => /** @type {RegExp} */ (pattern).test(unit.toLowerCase()))?.[1] : 'min';
    if (!name) return null;
    seconds += Number(amount.replace(',', '.')) * UNITS[/** @type {string} */ (name)];
  }
  return Math.round(seconds);
}
