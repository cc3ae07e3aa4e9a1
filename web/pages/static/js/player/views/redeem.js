/** Redeem: a token as a QR code on white, for a minute. The staff scans it, and this page says so. */
import { get, post, sleep } from '../../core/api.js';
import { _ } from '../../core/i18n.js';
import { useEffect, useRef, useState } from '../../../vendor/hooks.js';
import { Contour, Empty, Failed, html, Icon, itemName, Loading, mounts, Ring, SignedOut } from '../parts.js';
import { useLoaded } from '../snapshots.js';
import { StampMark } from '../stamp.js';

const POLL_SECONDS = 2;

const find = (items, { item, org }) => items.find((each) => each.item === item && (!org || each.org_id === org));
const loadItems = async ({ player_id }) => (await get(`/player/${player_id}/inventory`)).items;

/**
 * Ask what became of the tokens that were shown, until one of them was redeemed. An older one can be used until it expires.
 * @param {Set<string>} tokens @param {AbortSignal} signal @param {(balance: number) => void} onRedeemed
 */
async function watch(tokens, signal, onRedeemed) {
  while (!signal.aborted) {
    await sleep(POLL_SECONDS);
    for (const token of document.visibilityState === 'visible' ? [...tokens] : []) {
      const state = await post('/redemptions/token/status', { token }).catch(() => null);
      if (state?.status === 'expired') tokens.delete(token);
      if (state?.status === 'redeemed' && !signal.aborted) return onRedeemed(state.balance);
    }
  }
}

function Quantity({ value, most, onChange }) {
  if (most < 2) return null;
  const step = (by) => onChange(Math.min(most, Math.max(1, value + by)));
  return html`
    <div class="stepper" role="group" aria-label=${_('Quantity')}>
      <button class="button" type="button" aria-label=${_('One less')} disabled=${value <= 1} onClick=${() => step(-1)}>−</button>
      <output aria-live="polite">${value}</output>
      <button class="button" type="button" aria-label=${_('One more')} disabled=${value >= most} onClick=${() => step(1)}>+</button>
    </div>`;
}

/** The code, and a ring that empties while it is valid. */
function Token({ token, onExpired }) {
  const [left, setLeft] = useState(token.expires_in);
  const [url] = useState(() => URL.createObjectURL(new Blob([token.qr_svg], { type: 'image/svg+xml' })));
  useEffect(() => () => URL.revokeObjectURL(url), [url]);
  useEffect(() => {
    const end = performance.now() + token.expires_in * 1000;
    const timer = setInterval(() => {
      const seconds = Math.max(0, Math.ceil((end - performance.now()) / 1000));
      setLeft(seconds);
      if (!seconds) onExpired();
    }, 250);
    return () => clearInterval(timer);
  }, []);
  return html`
    <figure class=${left ? 'qr' : 'qr qr-expired'}><img src=${url} alt=${_('QR code for the staff')} width="320" height="320" /></figure>
    <div class="row token-facts">
      <${Ring} share=${left / token.expires_in}><span aria-hidden="true">${left}</span></${Ring}>
      <p class="token-text">
        <span>${left ? _('Show this to the staff') : _('This code has expired.')}</span>
        <code class="mono">${token.token.replace(/(.{4})(?=.)/g, '$1 ')}</code>
      </p>
    </div>`;
}

function Counter({ held }) {
  const [quantity, setQuantity] = useState(1);
  const [token, setToken] = useState(/** @type {any} */ (null));
  const [isExpired, setExpired] = useState(false);
  const [isBusy, setBusy] = useState(false);
  const [problem, setProblem] = useState(/** @type {any} */ (null));
  const [left, setLeft] = useState(/** @type {number | null} */ (null));
  const shown = useRef(/** @type {Set<string>} */ (new Set()));
  useEffect(() => {
    const ending = new AbortController();
    watch(shown.current, ending.signal, setLeft);
    return () => ending.abort();
  }, []);
  const show = async () => {
    if (isBusy) return;
    setBusy(true);
    setProblem(null);
    try {
      const made = await post('/redemptions/token', { item: held.item, quantity, org_id: held.org_id });
      shown.current.add(made.token);
      setToken(made);
      setExpired(false);
    } catch (error) {
      setProblem(error);
    }
    setBusy(false);
  };
  if (left !== null) {
    return html`
      <div class="verdict verdict-arrived tone-ok" role="status">
        <${Contour} id=${held.item} />
        <div class="verdict-mark"><${Icon} name="badge-check" /></div>
        <h2>${_('Redeemed')}</h2>
        <p>${_('%(quantity)s × %(item)s', { quantity, item: itemName(held.item) })}</p>
        <p class="hint">${_('%(number)s left', { number: left })}</p>
      </div>
      <a class="button button-primary button-large" href="/play/inventory">${_('View inventory')}</a>`;
  }
  return html`
    ${token && html`<${Token} key=${token.token} token=${token} onExpired=${() => setExpired(true)} />`}
    ${!token && html`
      <div class="redeem-item"><${StampMark} item=${held.item} /><p>${_('You have %(number)s.', { number: held.quantity })}</p></div>
      <${Quantity} value=${quantity} most=${held.quantity} onChange=${setQuantity} />`}
    ${problem && html`<p class="banner banner-bad" role="alert"><${Icon} name="triangle-alert" /><span>${problem.status === 0 ? _('You need to be online to redeem.') : problem.message}</span></p>`}
    <button class=${token && !isExpired ? 'button button-large' : 'button button-primary button-large'} type="button" aria-busy=${isBusy} onClick=${show}>
      <span>${token ? _('Show a new code') : _('Show the code')}</span>
    </button>`;
}

/** @param {{item: string}} properties */
function Redeem({ item }) {
  const org = new URLSearchParams(location.search).get('org');
  const { status, data, problem, reload } = useLoaded('redeem', loadItems);
  const held = data && find(data, { item, org });
  return html`
    <h1>${_('Redeem %(item)s', { item: itemName(item) })}</h1>
    ${held?.organization && html`<p class="lead">${held.organization}</p>`}
    ${status === 'loading' && html`<${Loading} />`}
    ${status === 'failed' && html`<${Failed} problem=${problem} onRetry=${reload} />`}
    ${status === 'signed-out' && html`<${SignedOut} line=${_('What you collect can be redeemed here.')} />`}
    ${status === 'ready' && !held && html`
      <${Empty} id=${item} title=${_('You have none of these.')}><a class="button" href="/play/inventory">${_('View inventory')}</a></${Empty}>`}
    ${status === 'ready' && held && html`<${Counter} held=${held} />`}`;
}

export const mount = mounts(Redeem, ([item]) => ({ item }));
