/** What to do when there is no usable position: a dialog with the steps for this device. Never a dead end. */
import { _ } from '../core/i18n.js';
import { icon } from '../core/icon.js';
import { platform } from './locate.js';

const WHY = () =>
  _("The code only works at its place. Your location proves that you're there. It's saved with this scan, and you can export or delete it in Account.");

/**
 * Explain a problem, and wait for the person.
 * @param {'insecure' | 'denied' | 'timeout' | 'imprecise' | 'approximate'} kind
 * @returns {Promise<boolean>} true: try again
 */
export function explain(kind) {
  const { title, line, steps } = textsOf(kind, platform());
  const dialog = document.createElement('dialog');
  dialog.className = 'location-help stack';
  dialog.setAttribute('aria-labelledby', 'location-help-title');
  const heading = element('h2', title);
  heading.id = 'location-help-title';
  const mark = element('p', '');
  mark.className = 'badge tone-held';
  mark.append(icon(kind === 'denied' ? 'map-pin-off' : 'target'), _('Location needed'));
  dialog.append(mark, heading, element('p', line));
  if (steps.length) {
    const list = document.createElement('ol');
    list.append(...steps.map((step) => element('li', step)));
    dialog.append(list);
  }
  const details = document.createElement('details');
  details.append(element('summary', _('Why do you need it?')), element('p', WHY()));
  const again = button(_('Try again'), 'button button-primary button-large');
  const close = button(_('Not now'), 'button button-quiet');
  dialog.append(details, again, close);
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    again.addEventListener('click', () => dialog.close('again'));
    close.addEventListener('click', () => dialog.close());
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(dialog.returnValue === 'again');
    });
  });
}

/**
 * Return the words for a problem on a platform.
 * @param {string} kind @param {'ios' | 'android' | 'other'} system
 * @returns {{title: string, line: string, steps: string[]}}
 */
export function textsOf(kind, system) {
  if (kind === 'insecure')
    return {
      title: _('Location and camera need a secure connection (https).'),
      line: _('Ask the organizers for an address that starts with https.'),
      steps: [],
    };
  if (kind === 'denied')
    return {
      title: _('Location access is blocked.'),
      line: _('Allow it for this site, then try again.'),
      steps: {
        ios: [
          _('Open Settings, then Privacy & Security, then Location Services. Turn it on.'),
          _('In the same list, open Safari Websites and choose "While Using the App".'),
          _('Back here, tap the button beside the address, then Website Settings, Location, Allow.'),
        ],
        android: [
          _('Tap the icon to the left of the address, then Permissions.'),
          _('Turn Location on.'),
          _('If it stays blocked: open Settings, then Location, and turn it on for your browser.'),
        ],
        other: [_('Click the icon to the left of the address.'), _('Allow Location for this site, then reload the page.')],
      }[system],
    };
  if (kind === 'approximate')
    return {
      title: _('Precise location is off for this browser.'),
      line: _('Turn it on, then try again.'),
      steps: {
        ios: [
          _('Open Settings, then Privacy & Security, then Location Services.'),
          _('Open Safari Websites, or your browser, and turn Precise Location on.'),
        ],
        android: [_('Open Settings, then Location, then App permissions.'), _('Open your browser and turn "Use precise location" on.')],
        other: [],
      }[system],
    };
  return { title: _('We need a better location'), line: _('Step outside or move near a window.'), steps: [] };
}

/** @param {string} name @param {string} text */
function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

/** @param {string} text @param {string} className */
function button(text, className) {
  const made = /** @type {HTMLButtonElement} */ (element('button', text));
  made.type = 'button';
  made.className = className;
  return made;
}
