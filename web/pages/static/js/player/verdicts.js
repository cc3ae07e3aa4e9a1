/** The words, the mark and the next step of every verdict. Pure. */
import { _, english } from '../core/i18n.js';

/**
 * @typedef {{label: string, href: string} | {label: string, kind: 'details' | 'copy' | 'guest'}} Action
 * @typedef {{icon: string, tone: 'ok' | 'bad' | 'held' | 'info' | 'off', headline: string, line: string, actions: Action[]}} Verdict
 */

/** @returns {Action} */
const another = () => ({ label: _('Scan another'), href: '/play/scan' });
/** @returns {Action} */
const history = () => ({ label: _('View history'), href: '/play/history' });

/**
 * Return what to show for a scan of the outbox.
 * @param {import('./outbox.js').Scan} scan
 * @param {{isPatient?: boolean, isForeign?: boolean}} [options] `isPatient`: false once the verdict takes longer than a
 *   person waits; `isForeign`: another player is signed in
 * @returns {Verdict}
 */
export function verdictOf(scan, { isPatient = true, isForeign = false } = {}) {
  const { state, verdict } = scan;
  if (state === 'needs_sign_in') return signInFirst(scan);
  if (state === 'refused') return refused(scan.problem || '');
  if (isForeign && state === 'waiting') return foreign();
  if (state === 'waiting' || state === 'locating') return queued();
  if (state === 'settled' && verdict.status === 'success') return success(verdict);
  if (state === 'settled' && verdict.status === 'held') return held();
  if (state === 'settled' && verdict.status === 'annulled') return annulled();
  if (state === 'settled') return failure(verdict, scan);
  return pending(isPatient);
}

/**
 * Return the path of a code's page. A rotating code is a URL, whose query proves it. The camera for other addresses.
 * @param {string} qrCode
 */
export function codePath(qrCode) {
  const text = qrCode.trim();
  if (!/^https?:/i.test(text)) return `/s/${encodeURIComponent(text)}`;
  const [path] = /\/s\/[\w-]+(\?[^#]*)?$/.exec(text) ?? ['/play/scan'];
  return path;
}

/** @returns {Verdict} */
function success({ scan_id, reward, quantity, encounter, destination }) {
  if (encounter)
    return {
      icon: 'key',
      tone: 'ok',
      headline: _('You found a puzzle'),
      line: _('Solve it to earn the reward.'),
      actions: [{ label: _('Solve puzzle'), href: `/play/puzzle/${scan_id}` }],
    };
  if (destination)
    return {
      icon: 'route',
      tone: 'ok',
      headline: _('Next stop: %(place)s', { place: destination.description || destination.code }),
      line: _('Find the next code there.'),
      actions: [{ label: _('Show details'), kind: 'details' }],
    };
  if (reward)
    return {
      icon: 'stamp',
      tone: 'ok',
      headline: `+${quantity ?? 1} ${reward.replaceAll('_', ' ')}`,
      line: _('Added to your inventory.'),
      actions: [{ label: _('View inventory'), href: '/play/inventory' }, another()],
    };
  return { icon: 'stamp', tone: 'ok', headline: _("You're checked in"), line: _('Your scan was counted.'), actions: [another()] };
}

/** @returns {Verdict} */
const pending = (isPatient) =>
  isPatient
    ? { icon: 'ellipsis', tone: 'info', headline: _('Checking your scan…'), line: _('This usually takes a second.'), actions: [] }
    : { icon: 'ellipsis', tone: 'info', headline: _('Still checking'), line: _('The result will appear in your history.'), actions: [history()] };

/** @returns {Verdict} */
const queued = () => ({
  icon: 'inbox',
  tone: 'info',
  headline: _('Saved on this phone'),
  line: _("We'll send it when you're back online, with the time you scanned it."),
  actions: [another()],
});

/** @returns {Verdict} */
const held = () => ({
  icon: 'hourglass',
  tone: 'held',
  headline: _('Under review'),
  line: _("An organizer will check this scan. You don't need to do anything."),
  actions: [history()],
});

/** @returns {Verdict} */
const annulled = () => ({
  icon: 'undo-2',
  tone: 'off',
  headline: _('Scan reversed'),
  line: _('An organizer reversed this scan and its reward.'),
  actions: [history()],
});

/** @returns {Verdict} */
const foreign = () => ({
  icon: 'lock',
  tone: 'held',
  headline: _('Saved for another player'),
  line: _('The player who scanned this code has signed out. It will be sent when they sign in again.'),
  actions: [another()],
});

/** @returns {Verdict} */
const signInFirst = ({ nonce, player_id }) => ({
  icon: 'lock',
  tone: 'held',
  headline: _('Sign in to send your scan'),
  line: _('Your session has ended. The scan is saved on this phone, with the time you scanned it.'),
  actions: [
    { label: _('Sign in'), href: `/sign-in?next=${encodeURIComponent(`/play/result/${nonce}`)}` },
    ...(player_id ? [/** @type {Action} */ ({ label: _('Continue as a guest'), kind: 'guest' })] : []),
  ],
});

/** @returns {Verdict} */
const refused = (problem) => ({
  icon: 'triangle-alert',
  tone: 'off',
  headline: _("We couldn't send this scan"),
  line: english(problem) || _('Scan the code again.'),
  actions: [another()],
});

/** @returns {Verdict} */
function failure({ reason, message }, { qr_code }) {
  const again = (label) => ({ label, href: codePath(qr_code) });
  const texts = {
    not_present: ['map-pin-off', 'bad', _("You're not close enough"), _('Go to the code and try again.'), again(_('Try again'))],
    better_location_needed: ['target', 'held', _('We need a better location'), _('Step outside or move near a window.'), again(_('Try again'))],
    location_required: ['map-pin', 'held', _('Location needed'), _('This code only works with your location.'), again(_('Share location'))],
    player_limit: ['check-check', 'off', _('Already collected'), _("You've used this code as often as you can."), another()],
    cooldown: ['clock', 'held', _('Come back later'), _('You scanned this code recently.'), history()],
    sold_out: ['package', 'off', _('None left'), _('Everything here has been collected.'), another()],
    not_started: ['calendar', 'off', _("This code isn't open yet"), _('Check back later.'), another()],
    expired: ['calendar', 'off', _('This code has expired'), _("It can't be used anymore."), another()],
    inactive: ['calendar', 'off', _('This code is turned off'), _('The organizers turned it off.'), another()],
    unknown_code: [
      'circle-question-mark',
      'bad',
      _("We don't recognize this code"),
      _('Damaged? Type the code printed next to it.'),
      { label: _('Type the code'), href: '/play/scan#type' },
    ],
    stale_code: [
      'refresh-cw',
      'bad',
      _('This code has changed'),
      _('Scan the one on the screen now.'),
      { label: _('Scan again'), href: '/play/scan' },
    ],
    forged_code: ['shield-alert', 'bad', _("This code isn't genuine"), _("It wasn't issued by the organizers."), another()],
    too_late: ['clock-alert', 'off', _('Sent too late'), _('This offline scan arrived after the deadline.'), history()],
    not_judged: [
      'triangle-alert',
      'off',
      _("We couldn't check this scan"),
      _('Give the scan ID to the organizers.'),
      { label: _('Copy scan ID'), kind: 'copy' },
    ],
  };
  const [icon, tone, headline, line, action] = texts[reason] ?? [
    'triangle-alert',
    'off',
    _("This scan didn't count"),
    english(message) || _('Ask the organizers.'),
    another(),
  ];
  return { icon, tone, headline, line, actions: [action] };
}
