/** Settings of an organization. Each card saves its own part. */
import { Problem, send } from '../core/api.js';
import { bindForm, showProblem, clearErrors } from '../core/form.js';
import { _ } from '../core/i18n.js';
import { toast, toastNext } from '../core/toast.js';
import { confirmed } from '../staff/dialogs.js';

/** @param {string} id @returns {any} */
const byId = (id) => document.getElementById(id);
const page = /** @type {HTMLElement} */ (byId('page'));
const path = `/api/organizations/${page.dataset.org}`;

/**
 * A card that changes the organization.
 * @param {string} id @param {(fields: any) => any} read @param {(organization: any) => void} [onSuccess] @param {string} [taken]
 */
function bindCard(id, read, onSuccess = () => toast(_('Saved')), taken = '') {
  const form = /** @type {HTMLFormElement | null} */ (byId(id));
  if (form) bindForm(form, { path, method: 'PATCH', read: () => read(form.elements), onSuccess, messages: taken ? { 409: taken } : {} });
}

/** Say that something was saved, on the page as it is now. */
function saved(address = location.pathname) {
  toastNext(_('Saved'));
  location.assign(address);
}

bindCard(
  'general',
  ({ name, slug, url }) => ({ name: name.value, slug: slug.value, url: url.value || null }),
  // The address of this page contains the slug.
  (organization) => saved(`/o/${organization.slug}/settings`),
  _('That short name is taken. Choose another one.'),
);

bindCard('branding', ({ color }) => ({ color: color.value || null }), () => saved());
byId('picker')?.addEventListener('input', (event) => {
  byId('color').value = event.target.value.toUpperCase();
  showColor(event.target.value);
});
byId('color')?.addEventListener('input', (event) => {
  if (!/^#[0-9a-f]{6}$/i.test(event.target.value)) return;
  byId('picker').value = event.target.value;
  showColor(event.target.value);
});
// The server has adjusted the stored color to each theme.
const { light, dark } = byId('preview')?.dataset ?? {};
if (light) showColor(isDarkTheme() ? dark : light);

function isDarkTheme() {
  const { theme } = document.documentElement.dataset;
  return theme ? theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
}

/** Show the color in the preview, with the text that is readable on it. @param {string} color */
function showColor(color) {
  const [red, green, blue] = [1, 3, 5].map((start) => parseInt(color.slice(start, start + 2), 16));
  const isDark = 0.299 * red + 0.587 * green + 0.114 * blue < 150;
  byId('preview').style.setProperty('--brand', color);
  byId('preview').style.setProperty('--on-brand', isDark ? 'white' : 'black');
}

byId('no-color')?.addEventListener('click', () => change({ color: null }));
byId('no-logo')?.addEventListener('click', async () => {
  await attempt(() => send('DELETE', `${path}/logo`));
});

/** Change one field at once. */
const change = (body) => attempt(() => send('PATCH', path, { body }));

/** Do something, and show the page as it is then. */
async function attempt(action, done = () => saved()) {
  try {
    await action();
    done();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    toast(error.message);
  }
}

byId('logo-form')?.addEventListener('submit', async (event) => {
  event.preventDefault();
  const form = event.target;
  clearErrors(form);
  const button = form.querySelector('[type=submit]');
  button.setAttribute('aria-busy', 'true');
  try {
    await send('PUT', `${path}/logo`, { body: new FormData(form) });
    saved();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    showProblem(form, error, error.status === 413 ? _('PNG or JPEG, up to 1 MiB') : undefined);
  } finally {
    button.removeAttribute('aria-busy');
  }
});

bindCard('fair-play', (fields) => ({
  fair_play: {
    identical_coordinates: fields.identical_on.checked
      ? { players: number(fields.identical_players), window_seconds: number(fields.identical_minutes, 60), api_keys: fields.identical_keys.checked }
      : null,
    burst: fields.burst_on.checked
      ? { window_seconds: number(fields.burst_minutes, 60), per_player: number(fields.burst_player), per_code: number(fields.burst_code) }
      : null,
    late: fields.late_on.checked ? { after_seconds: number(fields.late_hours, 3600) } : null,
  },
}));

/** A number of a field in units of the API; null if it is empty, and the text if it is no number: the API says so. */
function number(input, factor = 1) {
  const text = input.value.trim().replace(',', '.');
  if (text === '') return null;
  return Number.isNaN(Number(text)) ? text : Math.round(Number(text) * factor);
}

bindCard('positions', ({ position_retention_days: days }) => ({ position_retention_days: number(days) }));

byId('close')?.addEventListener('click', async () => {
  const { name } = page.dataset;
  const answer = await confirmed({
    heading: _('Delete %(name)s?', { name: String(name) }),
    text: _('It closes now and is erased in 7 days. You can undo this until then.'),
    action: _('Delete organization'),
    danger: true,
    typed: name,
  });
  if (answer) await attempt(() => send('DELETE', path, { body: { name } }), () => location.reload());
});

byId('restore')?.addEventListener('click', () => attempt(() => send('POST', `${path}/restore`), () => location.reload()));
