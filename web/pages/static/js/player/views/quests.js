/** Quests: progress as a ring, days as dots, rewards to claim. */
import { get, post, uuid4 } from '../../core/api.js';
import { _, ngettext } from '../../core/i18n.js';
import { shortDate } from '../../core/time.js';
import { toast } from '../../core/toast.js';
import { useRef, useState } from '../../../vendor/hooks.js';
import { trackDay } from '../days.js';
import { Empty, Failed, html, Icon, itemName, Loading, mounts, Offline, Ring, SignedOut } from '../parts.js';
import { useLoaded } from '../snapshots.js';

const MOST_DOTS = 31;

/** Return all quests of the player. */
export async function loadQuests() {
  const quests = [];
  let cursor = '';
  do {
    const page = await get(`/api/v1/quests?limit=200${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
    quests.push(...page.items);
    cursor = page.next_cursor;
  } while (cursor);
  return quests.sort((one, other) => rank(other) - rank(one));
}

/** Rewards to claim come first, then what is nearest to its goal. Completed quests come last. */
const rank = (quest) => (quest.claimable ? 2 : isOver(quest) ? -1 : quest.progress / quest.streak);
export const isOver = (quest) => !quest.claimable && quest.completions >= quest.duplication;
/** "harbor-trail" → "Harbor trail" @param {string} name */
const title = (name) => name.charAt(0).toUpperCase() + name.slice(1).replaceAll('-', ' ');
/** Return the finished steps: all of them once the quest is over or its reward waits. */
const steps = (quest) => (isOver(quest) || (quest.claimable && !quest.progress) ? quest.streak : quest.progress);

/** The dots of a quest that counts days, each with its date. The server knows the dates, in the player's zone. */
function Days({ quest, done }) {
  if (!quest.daily || quest.streak > MOST_DOTS) return null;
  const dates = quest.days ?? [];
  const label = ngettext('%(done)s of %(num)s day', '%(done)s of %(num)s days', quest.streak, { done });
  return html`
    <div class="days" role="img" aria-label=${[label, ...dates.map(shortDate)].join(', ')}>
      ${Array.from({ length: quest.streak }, (_day, index) => html`
        <span class=${index < done ? 'day day-done' : 'day'}>${index < done && dates[index]?.slice(-2).replace(/^0/, '')}</span>`)}
    </div>`;
}

/** @param {{quest: any, onClaimed: () => void, heading?: string}} properties */
export function QuestCard({ quest, onClaimed, heading = 'h2' }) {
  const [isBusy, setBusy] = useState(false);
  // One key per reward: a retry after a lost response claims the same reward, not the next.
  const key = useRef({ claims: quest.claims, value: uuid4() });
  if (key.current.claims !== quest.claims) key.current = { claims: quest.claims, value: uuid4() };
  const claim = async () => {
    if (isBusy) return;
    setBusy(true);
    try {
      const { reward } = await post('/api/v1/track/claim_reward', { quest_name: quest.name }, { headers: { 'Idempotency-Key': key.current.value } });
      toast(_('+%(quantity)s %(item)s', { quantity: reward.qty, item: itemName(reward.item) }));
      onClaimed();
    } catch (error) {
      toast(error.status === 409 ? _('Already claimed') : error.message);
      if (error.status === 409) onClaimed();
    } finally {
      setBusy(false);
    }
  };
  const done = steps(quest);
  return html`
    <article class="card quest">
      <${Ring} share=${done / quest.streak}>${_('%(done)s of %(all)s', { done, all: quest.streak })}</${Ring}>
      <div class="quest-text">
        <${heading}>${title(quest.name)}</${heading}>
        ${quest.organization && html`<p class="hint">${quest.organization}</p>`}
        ${quest.description && html`<p>${quest.description}</p>`}
        <${Days} quest=${quest} done=${done} />
        ${quest.reward && html`<p class="row quest-reward"><${Icon} name="gift" /><span>${_('%(quantity)s × %(item)s', { quantity: quest.reward.qty, item: itemName(quest.reward.item) })}</span></p>`}
        ${isOver(quest) && html`<p><span class="badge tone-ok"><${Icon} name="check" />${_('Completed')}</span></p>`}
      </div>
      ${quest.claimable > 0 && html`<button class="button button-primary quest-claim" type="button" aria-busy=${isBusy} onClick=${claim}><span>${_('Claim')}</span></button>`}
    </article>`;
}

function Quests() {
  const { status, data, problem, offlineSince, reload } = useLoaded('quests', async (player) => {
    await trackDay(player);
    return loadQuests();
  });
  return html`
    <h1>${_('Quests')}</h1>
    ${offlineSince && html`<${Offline} at=${offlineSince} />`}
    ${status === 'loading' && html`<${Loading} />`}
    ${status === 'failed' && html`<${Failed} problem=${problem} onRetry=${reload} />`}
    ${status === 'signed-out' && html`<${SignedOut} line=${_('Your progress appears here.')} />`}
    ${status === 'ready' && !data.length && html`<${Empty} id="quests" title=${_('No quests right now.')} />`}
    ${status === 'ready' && data.map((quest) => html`<${QuestCard} key=${quest.name} quest=${quest} onClaimed=${reload} />`)}`;
}

export const mount = mounts(Quests);
