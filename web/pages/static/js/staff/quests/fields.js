/** The fields of the form of a quest: read in the fields of the API, shown as they belong together. */

/** @param {HTMLFormElement} form @param {string} name @returns {any} */
export const fieldOf = (form, name) => form.elements.namedItem(name);
/** @param {string} text one entry on each line */
export const linesOf = (text) => text.split('\n').map((line) => line.trim()).filter(Boolean);
const whole = (text) => Number(String(text).replace(/[\s,.](?=\d{3}\b)/g, '') || NaN);

/** Return the quest of a form. @param {HTMLFormElement} form */
export function readQuest(form) {
  const value = (name) => fieldOf(form, name).value.trim();
  const [kind, step] = [value('kind'), value('step')];
  const entries = linesOf(value(kind));
  const within = value('within_seconds');
  const item = value('reward.item');
  return {
    ...(fieldOf(form, 'name') ? { name: value('name') } : {}),
    description: value('description'),
    codes: kind === 'codes' ? entries : [],
    tags: kind === 'tags' ? entries : [],
    streak: step === 'order' ? entries.length : whole(value('streak')),
    duplication: whole(value('duplication')),
    daily: step === 'days',
    grace_days: step === 'days' ? whole(value('grace_days')) : 0,
    in_order: step === 'order',
    within_seconds: step !== 'days' && within ? whole(within) * Number(/** @type {any} */ (document.getElementById('within-unit')).value) : null,
    reward: item ? { item, quantity: whole(value('reward.quantity')) } : null,
    auto_claim: fieldOf(form, 'auto_claim').checked,
    ...(fieldOf(form, 'active') ? { active: fieldOf(form, 'active').checked } : {}),
  };
}

/** Show the fields that belong to the choices. @param {HTMLFormElement} form @param {ReturnType<typeof readQuest>} quest */
export function showFields(form, quest) {
  for (const part of /** @type {NodeListOf<HTMLElement>} */ (form.querySelectorAll('[data-kind]'))) part.hidden = part.dataset.kind !== fieldOf(form, 'kind').value;
  for (const part of /** @type {NodeListOf<HTMLElement>} */ (form.querySelectorAll('[data-step]'))) part.hidden = !part.dataset.step.split(' ').includes(fieldOf(form, 'step').value);
  const streak = fieldOf(form, 'streak');
  // In order, every entry counts once.
  streak.readOnly = quest.in_order;
  if (quest.in_order) streak.value = String(quest.streak);
}
