/** The fields of the code editor as the API has them. */
import { Problem } from '../../core/api.js';
import { _ } from '../../core/i18n.js';
import { formatDuration, parseDuration } from './durations.js';
import { readPuzzle } from './puzzle.js';

/** @param {HTMLFormElement} form @param {string} name @returns {any} */
export const field = (form, name) => form.elements.namedItem(name);
const text = (form, name) => field(form, name).value.trim();

/** A number, null if it is empty, or the text itself: the API says what is wrong with it. */
function number(form, name) {
  const typed = text(form, name);
  if (!typed) return null;
  const value = Number(typed.replace(',', '.'));
  return Number.isNaN(value) ? typed : value;
}

const wrong = (name, message) => new Problem(422, { detail: message, errors: [{ loc: `body.${name}`, message }] });

/** Return all fields of the form. Raise Problem for one that cannot be sent. @param {HTMLFormElement} form @param {any} before the code as it was */
export function readCode(form, before) {
  const type = field(form, 'scan_type').value || null;
  const cooldown = parseDuration(field(form, 'cooldown_seconds').value);
  if (cooldown === null) throw wrong('cooldown_seconds', _('Write a duration such as 1 h 30 min.'));
  const limit = field(form, 'limit').value;
  const body = {
    scan_type: type,
    description: text(form, 'description'),
    tags: tagsOf(form),
    requires_location: field(form, 'requires_location').checked,
    latitude: number(form, 'latitude'),
    longitude: number(form, 'longitude'),
    radius_m: number(form, 'radius_m') ?? 50,
    active: field(form, 'active').checked,
    starts_at: time(form, 'starts_at', before),
    expires_at: time(form, 'expires_at', before),
    per_player_limit: limit === 'once' ? 1 : limit === 'none' ? null : (number(form, 'per_player_limit') ?? ''),
    max_scans: number(form, 'max_scans'),
    cooldown_seconds: cooldown || null,
    offline_hours: number(form, 'offline_hours'),
    rotating: field(form, 'rotating').checked,
    rotation_seconds: number(form, 'rotation_seconds') ?? 30,
  };
  if (text(form, 'code')) body.code = text(form, 'code');
  if (type === 'item_drop' || type === 'encounter') {
    const item = text(form, 'reward.item');
    const isSame = item === itemName(before.reward?.item ?? '');
    body.reward = item ? { item: isSame ? before.reward.item : item.replaceAll(' ', '_'), quantity: number(form, 'reward.quantity') ?? 1 } : null;
  }
  if (type === 'encounter') body.encounter = encounter(form, before);
  if (type === 'encounter') body.answer_within_hours = number(form, 'answer_within_hours') ?? 24;
  if (type === 'transportation') body.destination_code = text(form, 'destination_code') || null;
  if (type === null) body.target_url = text(form, 'target_url') || null;
  return body;
}

function encounter(form, before) {
  let data;
  try {
    data = readPuzzle(form, before.encounter?.data ?? {});
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw wrong('clue-rest', _('Write a JSON object such as {"color": "red"}.'));
  }
  return {
    puzzle_type: field(form, 'encounter.puzzle_type').value,
    difficulty_level: number(form, 'encounter.difficulty_level') ?? 1,
    data,
    solution: field(form, 'encounter.solution').value || null,
    max_attempts: number(form, 'encounter.max_attempts'),
  };
}

/** Return the fields that differ from the code as it was. @param {any} body @param {any} before */
export function changes(body, before) {
  return Object.fromEntries(Object.entries(body).filter(([name, value]) => !isEqual(value, before[name] ?? null)));
}

function isEqual(one, other) {
  if (one === null || other === null || typeof one !== 'object' || typeof other !== 'object') return one === other;
  const keys = new Set([...Object.keys(one), ...Object.keys(other)]);
  return [...keys].every((key) => isEqual(one[key] ?? null, other[key] ?? null));
}

/** Items are shown with spaces. @param {string} item */
const itemName = (item) => item.replaceAll('_', ' ');

const tagsOf = (form) => [...form.querySelectorAll('[data-tag]')].map((chip) => chip.dataset.tag);

/** A local time as UTC. A time that was not changed keeps its seconds. */
function time(form, name, before) {
  const input = field(form, name);
  if (!input.value) return null;
  if (before[name] && input.value === toLocal(before[name])) return before[name];
  return new Date(input.value).toISOString().replace('.000Z', 'Z');
}

/** The value of a datetime-local input. @param {string} at */
export function toLocal(at) {
  const date = new Date(at);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
}

/** Write what only the browser knows how to write: times in its zone, a duration in words. @param {HTMLFormElement} form @param {any} code */
export function fillFields(form, code) {
  for (const name of ['starts_at', 'expires_at']) if (code[name]) field(form, name).value = toLocal(code[name]);
  field(form, 'cooldown_seconds').value = formatDuration(code.cooldown_seconds);
  for (const zone of form.querySelectorAll('[data-zone]')) zone.textContent = Intl.DateTimeFormat().resolvedOptions().timeZone.replaceAll('_', ' ');
}
