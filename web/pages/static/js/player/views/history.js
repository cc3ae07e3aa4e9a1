/** History: queued scans first, then all scans by day. */
import { get } from '../../core/api.js';
import { _, ngettext } from '../../core/i18n.js';
import { longDay, timeOfDay } from '../../core/time.js';
import { toast } from '../../core/toast.js';
import { useEffect, useState } from '../../../vendor/hooks.js';
import { all, flush, onChange } from '../outbox.js';
import { Empty, Failed, html, Icon, Loading, localDate, mounts, Offline, SignedOut } from '../parts.js';
import { useLoaded } from '../snapshots.js';
import { codePath, verdictOf } from '../verdicts.js';

const PAGE = 30;
const WAITING = ['waiting', 'sending', 'needs_sign_in'];

/** @param {any} player @param {string} [cursor] */
const loadPage = (player, cursor) =>
  get(`/player/${player.player_id}/history?limit=${PAGE}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ''}`);

/** Return scans by day in the zone of this browser, in their order. @param {any[]} scans */
export function byDay(scans) {
  const days = [];
  for (const scan of scans) {
    const date = localDate(scan.scan_time);
    if (days[days.length - 1]?.date !== date) days.push({ date, at: scan.scan_time, scans: [] });
    days[days.length - 1].scans.push(scan);
  }
  return days;
}

/** Return the scans that wait on this phone, oldest first, and a function that sends them. */
export function useOutbox(onSent = () => {}) {
  const [scans, setScans] = useState(/** @type {any[]} */ ([]));
  const [isSending, setSending] = useState(false);
  const read = async () => {
    const waiting = (await all().catch(() => [])).filter(({ state }) => WAITING.includes(state));
    setScans(waiting);
    return waiting.length;
  };
  useEffect(() => {
    read();
    return onChange(read);
  }, []);
  const send = async () => {
    if (isSending) return;
    setSending(true);
    await flush();
    setSending(false);
    if (await read()) toast(_('Still waiting for a connection.'));
    onSent();
  };
  return { scans, isSending, send };
}

export function OutboxBanner({ outbox }) {
  const { scans, isSending, send } = outbox;
  if (!scans.length) return null;
  return html`
    <div class="banner outbox" role="status">
      <${Icon} name="inbox" />
      <span>${ngettext('%(num)s scan waiting for a connection', '%(num)s scans waiting for a connection', scans.length)}</span>
      <button class="button" type="button" aria-busy=${isSending} onClick=${send}><span>${_('Send now')}</span></button>
    </div>`;
}

/** @param {{scan: any}} properties */
export function ScanLine({ scan }) {
  const state = scan.status === 'pending' ? 'sent' : 'settled';
  const { icon, tone, headline } = verdictOf(/** @type {any} */ ({ ...scan, state, verdict: scan }));
  return html`
    <a class="list-item" href=${`/play/result/${scan.scan_id}`}>
      <span class=${`list-mark tone-${tone}`}><${Icon} name=${icon} /></span>
      <span class="list-main">
        <span class="list-title">${scan.description || scan.qr_code}</span>
        <span class="hint">${headline}</span>
      </span>
      <time class="hint" datetime=${scan.scan_time}>${timeOfDay(scan.scan_time)}</time>
    </a>`;
}

function QueuedLine({ scan }) {
  const { icon, tone, headline } = verdictOf(scan);
  return html`
    <a class="list-item" href=${`/play/result/${scan.nonce}`}>
      <span class=${`list-mark tone-${tone}`}><${Icon} name=${icon} /></span>
      <span class="list-main">
        <span class="list-title">${scan.description || codePath(scan.qr_code).slice('/s/'.length).split('?')[0]}</span>
        <span class="hint">${headline}</span>
      </span>
      <time class="hint" datetime=${scan.scanned_at}>${timeOfDay(scan.scanned_at)}</time>
    </a>`;
}

function More({ player, data, change }) {
  const [isBusy, setBusy] = useState(false);
  if (!data.next_cursor) return null;
  const load = async () => {
    if (isBusy) return;
    setBusy(true);
    try {
      const page = await loadPage(player, data.next_cursor);
      change({ scans: [...data.scans, ...page.scans], next_cursor: page.next_cursor });
    } catch (error) {
      toast(error.message);
    }
    setBusy(false);
  };
  return html`<button class="button button-large" type="button" aria-busy=${isBusy} onClick=${load}><span>${_('Load more')}</span></button>`;
}

function History() {
  const { status, data, player, problem, offlineSince, reload, change } = useLoaded('history', loadPage);
  const outbox = useOutbox(reload);
  const isEmpty = status === 'ready' && !data.scans.length && !outbox.scans.length;
  return html`
    <h1>${_('History')}</h1>
    ${offlineSince && html`<${Offline} at=${offlineSince} />`}
    <${OutboxBanner} outbox=${outbox} />
    ${outbox.scans.length > 0 && html`
      <ul class="list" role="list">${outbox.scans.map((scan) => html`<li key=${scan.nonce}><${QueuedLine} scan=${scan} /></li>`)}</ul>`}
    ${status === 'loading' && html`<${Loading} />`}
    ${status === 'failed' && html`<${Failed} problem=${problem} onRetry=${reload} />`}
    ${status === 'signed-out' && !outbox.scans.length && html`<${SignedOut} line=${_('Every scan appears here, with its result.')} />`}
    ${isEmpty && html`<${Empty} id="history" title=${_('No scans yet.')}><a class="button button-primary" href="/play/scan">${_('Scan a code')}</a></${Empty}>`}
    ${status === 'ready' && byDay(data.scans).map(({ date, at, scans }) => html`
      <section class="stack" key=${date}>
        <h2 class="day-title">${longDay(at)}</h2>
        <ul class="list" role="list">${scans.map((scan) => html`<li key=${scan.scan_id}><${ScanLine} scan=${scan} /></li>`)}</ul>
      </section>`)}
    ${status === 'ready' && html`<${More} player=${player} data=${data} change=${change} />`}`;
}

export const mount = mounts(History);
