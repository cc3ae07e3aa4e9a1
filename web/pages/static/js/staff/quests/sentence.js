/** A quest in one sentence, from its fields. Pure. */
import { _, language, ngettext } from '../../core/i18n.js';

const MOST_NAMED = 5;
const UNITS = /** @type {[number, (num: number) => string][]} */ ([
  [86400, (num) => ngettext('%(num)s day', '%(num)s days', num)],
  [3600, (num) => ngettext('%(num)s hour', '%(num)s hours', num)],
  [60, (num) => ngettext('%(num)s minute', '%(num)s minutes', num)],
  [1, (num) => ngettext('%(num)s second', '%(num)s seconds', num)],
]);

/** @param {string[]} names @param {'conjunction' | 'disjunction'} type */
function list(names, type) {
  const shown = names.length > MOST_NAMED ? [...names.slice(0, MOST_NAMED - 1), ngettext('%(num)s more', '%(num)s more', names.length - MOST_NAMED + 1)] : names;
  return new Intl.ListFormat(language, { type }).format(shown);
}

function span(seconds) {
  const [size, words] = UNITS.find(([length]) => seconds % length === 0) ?? UNITS[3];
  return words(seconds / size);
}

function goal({ codes, tags, streak, daily, grace_days: grace, in_order: inOrder }) {
  const any = codes.length ? list(codes, 'disjunction') : list(tags, 'disjunction');
  if (daily) {
    const days = codes.length
      ? ngettext('Scan %(any)s on %(num)s day', 'Scan %(any)s on %(num)s days', streak, { any })
      : ngettext('Scan a code tagged %(any)s on %(num)s day', 'Scan a code tagged %(any)s on %(num)s days', streak, { any });
    if (streak === 1) return days;
    return grace ? ngettext('%(days)s (at most %(num)s day missed in between)', '%(days)s (at most %(num)s days missed in between)', grace, { days }) : _('%(days)s in a row', { days });
  }
  if (inOrder) {
    const all = list(codes.length ? codes : tags, 'conjunction');
    return codes.length ? _('Scan %(all)s in this order', { all }) : _('Scan codes tagged %(all)s in this order', { all });
  }
  if (!codes.length) return ngettext('Scan a code tagged %(any)s', 'Scan %(num)s different codes tagged %(any)s', streak, { any });
  if (streak >= new Set(codes).size) return _('Scan %(all)s', { all: list(codes, 'conjunction') });
  return ngettext('Scan %(num)s of %(all)s', 'Scan %(num)s of %(all)s', streak, { all: list(codes, 'conjunction') });
}

/** Return the sentence, or an empty text while it has no codes. @param {any} quest in the fields of the API */
export function sentenceOf(quest) {
  if (!quest.codes.length && !quest.tags.length) return '';
  const parts = [goal(quest)];
  if (quest.within_seconds) parts.push(_('within %(time)s', { time: span(quest.within_seconds) }));
  if (quest.reward) parts.push(_('and get %(quantity)s %(item)s', { quantity: quest.reward.quantity, item: quest.reward.item.replaceAll('_', ' ') }));
  const often = quest.duplication === 1 ? _('once') : ngettext('up to %(num)s time', 'up to %(num)s times', quest.duplication);
  return _('%(what)s, %(often)s.', { what: parts.join(' '), often });
}
