/** Home: scan, what waits to be sent, the latest result, puzzles to solve, quests that are nearest to their goal. */
import { get } from '../../core/api.js';
import { _ } from '../../core/i18n.js';
import { shortTime } from '../../core/time.js';
import { trackDay } from '../days.js';
import { InstallOffer } from '../install.js';
import { Contour, Failed, html, Icon, Loading, mounts, Offline } from '../parts.js';
import { useLoaded } from '../snapshots.js';
import { OutboxBanner, ScanLine, useOutbox } from './history.js';
import { isOver, loadQuests, QuestCard } from './quests.js';

const MOST = 3;
const RECENT = 20;

/** @param {any} player */
async function load(player) {
  await trackDay(player);
  const path = `/player/${player.player_id}`;
  const [{ scans }, puzzles, quests] = await Promise.all([
    get(`${path}/history?limit=${RECENT}`),
    get(`${path}/puzzles?open=true&limit=${MOST}`),
    loadQuests(),
  ]);
  const isUnderWay = (quest) => quest.claimable || (quest.progress && !isOver(quest));
  const successes = scans.filter(({ success }) => success).length;
  return { latest: scans[0], successes, puzzles: puzzles.items, quests: quests.filter(isUnderWay).slice(0, MOST) };
}

const Who = ({ player }) => html`
  <a class="button button-quiet who" href=${player ? '/account' : '/sign-in?next=/play'}>
    <${Icon} name="circle-user" /><span>${!player ? _('Sign in') : player.guest ? _('Guest') : player.username || _('Account')}</span>
  </a>`;

const PuzzleLine = ({ puzzle }) => html`
  <a class="list-item" href=${`/play/puzzle/${puzzle.scan_id}`}>
    <span class="list-mark tone-info"><${Icon} name="puzzle" /></span>
    <span class="list-main">
      <span class="list-title">${puzzle.description || puzzle.qr_code}</span>
      <span class="hint">${_('Open until %(time)s', { time: shortTime(puzzle.closes_at) })}</span>
    </span>
    <${Icon} name="chevron-right" />
  </a>`;

function Home() {
  const { status, data, player, problem, offlineSince, reload } = useLoaded('home', load);
  const outbox = useOutbox(reload);
  return html`
    <header class="home-header">
      <h1>${_('Play')}</h1>
      ${status !== 'loading' && html`<${Who} player=${player} />`}
    </header>
    <a class="scan-card" href="/play/scan">
      <${Contour} id="home" />
      <${Icon} name="scan-qr-code" /><span>${_('Scan a code')}</span>
    </a>
    <${OutboxBanner} outbox=${outbox} />
    ${offlineSince && html`<${Offline} at=${offlineSince} />`}
    ${status === 'loading' && html`<${Loading} />`}
    ${status === 'failed' && html`<${Failed} problem=${problem} onRetry=${reload} />`}
    ${status === 'signed-out' && html`<p class="lead">${_('Scan your first code to start. No account needed.')}</p>`}
    ${data?.latest && html`
      <section class="stack">
        <h2>${_('Latest result')}</h2>
        <ul class="list" role="list"><li><${ScanLine} scan=${data.latest} /></li></ul>
      </section>`}
    ${(player || outbox.scans.length > 0) && html`
      <a class="button button-quiet button-large" href="/play/history"><${Icon} name="history" />${_('View history')}</a>`}
    ${data && html`<${InstallOffer} successes=${data.successes} />`}
    ${data?.puzzles.length > 0 && html`
      <section class="stack">
        <h2>${_('Puzzles to solve')}</h2>
        <ul class="list" role="list">${data.puzzles.map((puzzle) => html`<li key=${puzzle.scan_id}><${PuzzleLine} puzzle=${puzzle} /></li>`)}</ul>
      </section>`}
    ${data?.quests.length > 0 && html`
      <section class="stack">
        <h2>${_('In progress')}</h2>
        ${data.quests.map((quest) => html`<${QuestCard} key=${quest.name} quest=${quest} onClaimed=${reload} heading="h3" />`)}
      </section>`}`;
}

export const mount = mounts(Home);
