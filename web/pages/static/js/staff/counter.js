/** The service counter: read a token by camera, scanner or keyboard, show what it is for, and redeem it. */
import { render } from '../../vendor/preact.js';
import { useEffect, useRef, useState } from '../../vendor/hooks.js';
import { Problem, post, uuid4 } from '../core/api.js';
import { _ } from '../core/i18n.js';
import { timeOfDay } from '../core/time.js';
import { Icon, html, itemName } from '../player/parts.js';
import { Viewfinder } from '../player/viewfinder.js';
import { problemLine } from './redemption-words.js';

/** @typedef {{id: string, item: string, quantity: number, player: string, at: string}} Redeemed */
/** @typedef {{token: string, key: string, player_id: string, username: string, item: string, quantity: number, balance: number}} Preview */
/** @typedef {{tone: 'ok' | 'bad' | 'off', icon: string, title: string, line?: string, undo?: Redeemed}} Result */

const FITS_A_TOKEN = /^[0-9A-Za-z\]-]$/;
/** Where a focus opens no keyboard on the screen. */
const hasKeyboard = matchMedia('(pointer: fine)').matches;

/** @param {HTMLElement} element @param {Redeemed[]} recent */
export function mountCounter(element, recent) {
  const { org, undoSeconds } = element.dataset;
  render(html`<${Counter} path=${`/api/organizations/${org}/redemptions`} undoMs=${Number(undoSeconds) * 1000} earlier=${recent} />`, element);
}

function Counter({ path, undoMs, earlier }) {
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  const busy = useRef(false);
  const [preview, setPreview] = useState(/** @type {Preview | null} */ (null));
  const [result, setResult] = useState(/** @type {Result | null} */ (null));
  const [recent, setRecent] = useState(/** @type {Redeemed[]} */ (earlier));
  const [, redraw] = useState(0);

  useEffect(() => {
    if (hasKeyboard) input.current?.focus({ preventScroll: true });
    // What can no longer be undone leaves the list.
    const timer = setInterval(() => redraw((count) => count + 1), 5000);
    window.addEventListener('keydown', catchScanner, true);
    return () => {
      clearInterval(timer);
      window.removeEventListener('keydown', catchScanner, true);
    };
  }, []);

  /** A scanner types like a keyboard, wherever the focus is. @param {KeyboardEvent} event */
  const catchScanner = (event) => {
    const isElsewhere = !(event.target instanceof HTMLInputElement) && !document.querySelector('dialog[open]');
    if (!isElsewhere || event.ctrlKey || event.metaKey || event.altKey || !FITS_A_TOKEN.test(event.key)) return;
    event.stopPropagation();
    input.current?.focus({ preventScroll: true });
  };

  /** Do one thing at a time, and show what it came to. @param {() => Promise<void>} task */
  const run = async (task) => {
    if (busy.current) return;
    busy.current = true;
    redraw((count) => count + 1);
    try {
      await task();
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      setPreview(null);
      setResult({ tone: 'bad', icon: 'circle-x', ...problemLine(problem) });
    }
    busy.current = false;
    redraw((count) => count + 1);
    if (hasKeyboard) input.current?.focus({ preventScroll: true });
  };

  /** @param {string} token */
  const read = (token) =>
    run(async () => {
      setResult(null);
      setPreview(null);
      setPreview({ ...(await post(`${path}/preview`, { token })), token, key: uuid4() });
    });

  const confirm = () =>
    run(async () => {
      const { token, key, username } = /** @type {Preview} */ (preview);
      const done = await post(path, { token }, { headers: { 'Idempotency-Key': key } });
      const redeemed = { id: done.id, item: done.item, quantity: done.quantity, player: username, at: done.at };
      setPreview(null);
      setRecent((all) => [redeemed, ...all.filter(({ id }) => id !== redeemed.id)]);
      setResult({ tone: 'ok', icon: 'circle-check', title: _('Redeemed: %(what)s.', { what: what(redeemed) }), line: left(done.balance), undo: redeemed });
    });

  /** @param {Redeemed} redeemed */
  const undo = (redeemed) =>
    run(async () => {
      const { balance } = await post(`${path}/${redeemed.id}/undo`, undefined, { headers: { 'Idempotency-Key': uuid4() } });
      setRecent((all) => all.filter(({ id }) => id !== redeemed.id));
      setResult({ tone: 'off', icon: 'undo-2', title: _('Undone: %(what)s.', { what: what(redeemed) }), line: left(balance) });
    });

  const submit = (event) => {
    event.preventDefault();
    const field = /** @type {HTMLInputElement} */ (input.current);
    const token = field.value.trim();
    field.value = '';
    if (token) read(token);
    else if (preview) confirm();
  };

  const canUndo = ({ at }) => Date.now() - Date.parse(at) < undoMs;
  const shown = recent.filter(canUndo);
  return html`
    <section class="counter-panel ${result ? `tone-${result.tone}` : ''}" role="status" aria-busy=${String(busy.current)}>
      ${preview ? html`<${Offer} preview=${preview} isBusy=${busy.current} onConfirm=${confirm} />` : result ? html`
        <${Icon} name=${result.icon} />
        <h2>${result.title}</h2>
        ${result.line && html`<p>${result.line}</p>`}
        ${result.undo && canUndo(result.undo) && html`
          <button class="button" type="button" onClick=${() => undo(result.undo)}><${Icon} name="undo-2" />${_('Undo')}</button>`}` : html`
        <${Icon} name="ticket" />
        <h2>${busy.current ? _('Checking…') : _('Ready')}</h2>
        <p>${_('Hold a code in front of the camera, or use a scanner.')}</p>`}
    </section>
    <div class="counter-reader stack">
      <${Viewfinder} onText=${read} hint=${_('Or type the token below.')} />
      <form class="field" onSubmit=${submit}>
        <label for="token">${_('Type the token')}</label>
        <div class="row counter-input">
          <input class="input mono" id="token" ref=${input} maxlength="200" autocomplete="off" autocapitalize="characters" spellcheck=${false} enterkeyhint="go" />
          ${!preview && html`<button class="button" type="submit">${_('Check')}</button>`}
        </div>
      </form>
    </div>
    ${shown.length > 0 && html`
      <section class="counter-recent" aria-labelledby="recent-heading">
        <h2 id="recent-heading">${_('Can still be undone')}</h2>
        <ul class="list">
          ${shown.map((redeemed) => html`
            <li class="list-item" key=${redeemed.id}>
              <span class="list-main"><strong>${what(redeemed)}</strong><span class="hint block">${redeemed.player}, ${timeOfDay(redeemed.at)}</span></span>
              <button class="button" type="button" onClick=${() => undo(redeemed)} aria-label=${_('Undo %(what)s of %(player)s', { what: what(redeemed), player: redeemed.player })}>${_('Undo')}</button>
            </li>`)}
        </ul>
      </section>`}`;
}

/** What a token is for, in large type, and the button that redeems it. */
const Offer = ({ preview, isBusy, onConfirm }) => html`
  <p class="counter-item">${what(preview)}</p>
  <p class="counter-player"><${Icon} name="circle-user" />${preview.username}</p>
  <p>${_('%(balance)s now, %(left)s after this', { balance: preview.balance, left: preview.balance - preview.quantity })}</p>
  <button class="button button-primary button-large" type="button" aria-busy=${String(isBusy)} onClick=${onConfirm}><span>${_('Confirm')}</span></button>`;

/** "1 coffee" */
const what = ({ quantity, item }) => `${quantity} ${itemName(item)}`;

/** @param {number} balance */
const left = (balance) => _('%(balance)s left.', { balance });
