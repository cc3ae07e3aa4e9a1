/** The editor of a quest: the card that players see and one sentence follow the typing. */
import { Problem, post, send } from '../core/api.js';
import { bindForm, clearErrors, showProblem } from '../core/form.js';
import { _, ngettext } from '../core/i18n.js';
import { toast, toastNext } from '../core/toast.js';
import { QuestCard } from '../player/views/quests.js';
import { confirmed } from '../staff/dialogs.js';
import { html } from '../staff/html.js';
import { bindEntries } from '../staff/quests/entries.js';
import { fieldOf, readQuest, showFields } from '../staff/quests/fields.js';
import { sentenceOf } from '../staff/quests/sentence.js';
import { render } from '../../vendor/preact.js';

const TYPING_MS = 400;
const form = /** @type {HTMLFormElement} */ (document.getElementById('quest'));
const { orgId, base, name, organization } = form.dataset;
const api = `/api/organizations/${orgId}`;
const path = name ? `${api}/quests/${name}` : `${api}/quests`;
const byId = (id) => /** @type {any} */ (document.getElementById(id));
let stored = readQuest(form);
let timer = 0;

const changesOf = (quest) => Object.fromEntries(Object.entries(quest).filter(([key, value]) => JSON.stringify(value) !== JSON.stringify(stored[key])));

function show() {
  const quest = readQuest(form);
  showFields(form, quest);
  const shown = {
    ...quest,
    name: quest.name || name || '-',
    organization,
    streak: quest.streak || 1,
    reward: quest.reward && { item: quest.reward.item, qty: quest.reward.quantity || 1 },
    progress: 0,
    completions: 0,
    claims: 0,
    claimable: false,
  };
  render(html`<${QuestCard} quest=${shown} onClaimed=${() => {}} heading="h3" />`, byId('preview'));
  byId('sentence').textContent = sentenceOf(quest);
  clearTimeout(timer);
  if (byId('effect')) timer = setTimeout(() => showEffect(quest), TYPING_MS);
}

/** Say what the changed goal does to players in progress. */
async function showEffect(quest) {
  const { active: _active, ...definition } = quest;
  let text = '';
  try {
    const { effect } = await post(`${api}/quests/simulate`, { quest: { ...definition, name }, events: [] });
    if (effect.would_complete) {
      text = ngettext('%(num)s of them would complete the quest with the next scan.', '%(num)s of them would complete the quest with their next scan.', effect.would_complete);
    }
  } catch (error) {
    // Saving shows what is wrong with an unfinished form.
    if (!(error instanceof Problem)) throw error;
  }
  byId('effect').textContent = text;
}

/** Show errors of single codes or tags at their field. @param {Problem} problem */
function showErrors(problem) {
  const errors = problem.errors.map(({ loc, message }) => ({ loc: loc.replace(/^(body\.(?:codes|tags))\.\d+$/, '$1'), message }));
  const joined = Object.entries(Object.groupBy(errors, ({ loc }) => loc)).map(([loc, found]) => ({ loc, message: found.map(({ message }) => message).join(' ') }));
  if (!joined.length) return;
  clearErrors(form);
  showProblem(form, Object.assign(problem, { errors: joined }));
}

async function remove() {
  const heading = _('Delete this quest?');
  if (!(await confirmed({ heading, action: _('Delete quest'), danger: true }))) return;
  try {
    await send('DELETE', path);
    stored = readQuest(form);
    location.assign(`${base}/quests`);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (error.status !== 409) return toast(error.message);
    const text = _('Players have progress on it, or have claimed its reward. Turned off, it keeps both, and scans no longer advance it.');
    if (await confirmed({ heading: _('This quest cannot be deleted.'), text, action: _('Turn off instead') })) await turnOff();
  }
}

async function turnOff() {
  try {
    await send('PATCH', path, { body: { active: false } });
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return toast(error.message);
  }
  fieldOf(form, 'active').checked = false;
  stored = { ...stored, active: false };
  toast(_('Turned off. Progress of players is kept.'));
}

if (fieldOf(form, 'active')) {
  bindForm(form, {
    path,
    method: name ? 'PATCH' : 'POST',
    idempotent: !name,
    read: () => (name ? changesOf(readQuest(form)) : readQuest(form)),
    messages: name ? {} : { 409: (problem) => problem.message },
    onProblem: showErrors,
    onSuccess(quest) {
      stored = readQuest(form);
      if (name) return toast(_('Saved'));
      toastNext(_('Saved'));
      location.assign(`${base}/quests/${quest.name}`);
    },
  });
  addEventListener('beforeunload', (event) => Object.keys(changesOf(readQuest(form))).length && event.preventDefault());
  byId('delete')?.addEventListener('click', remove);
}
form.addEventListener('input', show);
bindEntries(api);
show();
