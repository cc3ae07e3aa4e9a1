/** Inventory: a stamp for each item, grouped by the organization that gave it. */
import { get } from '../../core/api.js';
import { _ } from '../../core/i18n.js';
import { useEffect, useState } from '../../../vendor/hooks.js';
import { Empty, Failed, html, itemName, Loading, mounts, Offline, SignedOut } from '../parts.js';
import { readPersonal, storePersonal } from '../personal.js';
import { useLoaded } from '../snapshots.js';
import { StampMark } from '../stamp.js';

const keyOf = (item) => `${item.org_id ?? ''}/${item.item}`;

/** Return the items by issuer, in their order. @param {any[]} items */
export function groups(items) {
  const found = new Map();
  for (const item of items) {
    const id = item.org_id ?? '';
    if (!found.has(id)) found.set(id, { ...item, id, items: [] });
    found.get(id).items.push(item);
  }
  return [...found.values()];
}

/** Return the keys of the items that this phone has not shown yet. None on the first visit. */
function useNew(player, items) {
  const [fresh, setFresh] = useState(/** @type {Set<string>} */ (new Set()));
  useEffect(() => {
    if (!player || !items) return;
    const seen = items.map(keyOf);
    readPersonal('seen-items', player.player_id).then((before) => {
      if (before) setFresh(new Set(seen.filter((key) => !before.keys.includes(key))));
      storePersonal('seen-items', player.player_id, { keys: seen });
    });
  }, [player?.player_id, items]);
  return fresh;
}

function Stamp({ item, isNew }) {
  const inside = html`
    <${StampMark} item=${item.item} />
    <span class="stamp-name">${itemName(item.item)}</span>
    <span class="stamp-quantity">${_('× %(number)s', { number: item.quantity })}</span>`;
  const name = isNew ? 'stamp stamp-new' : 'stamp';
  if (!item.org_id || item.quantity < 1) return html`<div class=${name}>${inside}</div>`;
  return html`
    <a class=${name} href=${`/play/redeem/${encodeURIComponent(item.item)}?org=${item.org_id}`}>
      ${inside}<span class="stamp-action">${_('Redeem')}</span>
    </a>`;
}

function Group({ group, fresh }) {
  const name = group.organization || (group.id ? _('An organization that has left') : 'Waymark');
  const brand = group.color_light ? { '--brand': `light-dark(${group.color_light}, ${group.color_dark})`, '--on-brand': 'light-dark(white, black)' } : {};
  return html`
    <section class="stack issuer" style=${brand}>
      <h2 class="org">
        ${group.logo_url
          ? html`<img class="org-logo" src=${group.logo_url} alt="" />`
          : html`<span class="org-initial" aria-hidden="true">${[...name][0].toUpperCase()}</span>`}
        <span>${name}</span>
      </h2>
      <ul class="stamps" role="list">
        ${group.items.map((item) => html`<li key=${keyOf(item)}><${Stamp} item=${item} isNew=${fresh.has(keyOf(item))} /></li>`)}
      </ul>
    </section>`;
}

const Nothing = () => html`
  <div class="stamps" aria-hidden="true">${[1, 2, 3].map(() => html`<div class="stamp stamp-empty"></div>`)}</div>
  <${Empty} title=${_('Nothing here yet.')} line=${_('Find your first code.')}>
    <a class="button button-primary" href="/play/scan">${_('Scan a code')}</a>
  </${Empty}>`;

function Inventory() {
  const { status, data, player, problem, offlineSince, reload } = useLoaded(
    'inventory',
    async ({ player_id }) => (await get(`/player/${player_id}/inventory`)).items,
  );
  const fresh = useNew(player, data);
  return html`
    <h1>${_('Inventory')}</h1>
    ${offlineSince && html`<${Offline} at=${offlineSince} />`}
    ${status === 'loading' && html`<${Loading} />`}
    ${status === 'failed' && html`<${Failed} problem=${problem} onRetry=${reload} />`}
    ${status === 'signed-out' && html`<${SignedOut} line=${_('What you collect appears here.')} />`}
    ${status === 'ready' && !data.length && html`<${Nothing} />`}
    ${status === 'ready' && groups(data).map((group) => html`<${Group} key=${group.id} group=${group} fresh=${fresh} />`)}`;
}

export const mount = mounts(Inventory);
