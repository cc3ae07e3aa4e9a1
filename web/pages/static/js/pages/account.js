/** The account: profile, preferences, devices, password, export and deletion. */
import { Problem, get, post, send } from '../core/api.js';
import { bindForm, clearErrors, showProblem } from '../core/form.js';
import { _ } from '../core/i18n.js';
import { showTimes } from '../core/time.js';
import { toast } from '../core/toast.js';
import { deletePersonal } from '../player/personal.js';
import '../core/passwords.js';

/** @param {string} id @returns {any} */
const byId = (id) => document.getElementById(id);
const YEAR = 31536000;

showTimes();

bindForm(byId('profile'), {
  path: '/users/me',
  method: 'PATCH',
  read: (/** @type {any} */ form) => ({
    username: form.elements.username.value,
    timezone: form.elements.timezone.value,
    ...(form.elements.email ? { email: form.elements.email.value || null } : {}),
  }),
  messages: { 409: _('That username is taken.') },
  onSuccess: () => toast(_('Saved')),
});

byId('theme').addEventListener('change', (event) => {
  setCookie('waymark_theme', event.target.value);
  if (event.target.value) document.documentElement.dataset.theme = event.target.value;
  else delete document.documentElement.dataset.theme;
});

byId('language').addEventListener('change', (event) => {
  setCookie('waymark_lang', event.target.value);
  location.reload();
});

byId('keys').addEventListener('change', (event) => setCookie('waymark_keys', event.target.checked ? '' : 'off'));

/** Remember a preference for a year, or not at all. */
function setCookie(name, value) {
  document.cookie = `${name}=${value}; Path=/; Max-Age=${value ? YEAR : 0}; SameSite=Lax`;
}

byId('devices').addEventListener('click', async (event) => {
  const button = event.target.closest('[data-sign-out]');
  if (!button) return;
  const item = button.closest('[data-session]');
  button.setAttribute('aria-busy', 'true');
  try {
    await send('DELETE', `/users/me/sessions/${item.dataset.session}`);
    item.remove();
    toast(_('Signed out there.'));
  } catch (error) {
    toast(error.message);
  } finally {
    button.removeAttribute('aria-busy');
  }
});

byId('create-transfer').addEventListener('click', async () => {
  try {
    showTransfer(await post('/session/transfers'));
  } catch (error) {
    toast(error.message);
  }
});

let timer = 0;

/** Show the code of a transfer until it expires. */
function showTransfer({ transfer_url: path, qr_svg: svg, expires_in: seconds }) {
  const image = byId('transfer-image');
  URL.revokeObjectURL(image.src);
  image.src = URL.createObjectURL(new Blob([svg], { type: 'image/svg+xml' }));
  byId('transfer-code').hidden = false;
  byId('copy-transfer').onclick = async () => {
    await navigator.clipboard?.writeText(new URL(path, location.href).href);
    toast(_('Link copied'));
  };
  const end = Date.now() + seconds * 1000;
  clearInterval(timer);
  timer = setInterval(() => {
    const left = Math.round((end - Date.now()) / 1000);
    byId('transfer-left').textContent = left > 0 ? _('%(seconds)s s left', { seconds: left }) : '';
    if (left > 0) return;
    clearInterval(timer);
    byId('transfer-code').hidden = true;
  }, 1000);
}

const passwordForm = byId('password-form');
if (passwordForm) {
  bindForm(passwordForm, {
    path: '/users/me/password',
    messages: { 403: _('The current password is wrong.') },
    onSuccess: () => {
      passwordForm.reset();
      document.querySelectorAll('[data-session]').forEach((item) => item.querySelector('[data-sign-out]') && item.remove());
      toast(_('Password changed. Your other devices are signed out.'));
    },
  });
}

byId('sign-out').addEventListener('click', async () => {
  await send('DELETE', '/session').catch(() => {});
  await clearCaches();
  location.assign('/');
});

/** Delete what this browser stored about the player. Scans that wait for a connection stay for their owner. */
async function clearCaches() {
  const names = await globalThis.caches?.keys().catch(() => []) ?? [];
  await Promise.all(names.map((name) => caches.delete(name)));
  await deletePersonal();
}

const dialog = byId('delete-dialog');
byId('delete-account').addEventListener('click', async () => {
  dialog.showModal();
  byId('owned').replaceChildren(...(await ownedAlone().catch(() => [])));
});
byId('keep-account').addEventListener('click', () => dialog.close());
dialog.addEventListener('click', (event) => event.target === dialog && dialog.close());

/** Return a field for each organization of which the caller is the only owner. */
async function ownedAlone() {
  const { items } = await get('/api/organizations?limit=200');
  const fields = [];
  for (const organization of items.filter(({ role }) => role === 'owner')) {
    const { items: members } = await get(`/api/organizations/${organization.id}/members?limit=200`);
    if (members.filter(({ role }) => role === 'owner').length > 1) continue;
    const others = members.filter(({ role }) => role !== 'owner');
    fields.push(choiceOf(organization, others));
  }
  return fields;
}

function choiceOf(organization, others) {
  const label = document.createElement('label');
  label.className = 'field';
  const text = document.createElement('span');
  text.textContent = _("You're the only owner of %(name)s.", { name: organization.name });
  const select = document.createElement('select');
  select.className = 'input';
  select.dataset.organization = organization.id;
  for (const { player_id: id, username } of others) {
    select.append(new Option(_('Make %(name)s the owner', { name: username }), id));
  }
  select.append(new Option(_('Delete %(name)s', { name: organization.name }), 'delete'));
  label.append(text, select);
  return label;
}

const deleteForm = byId('delete-form');
deleteForm.addEventListener('submit', async (event) => {
  event.preventDefault();
  clearErrors(deleteForm);
  const button = deleteForm.querySelector('[type=submit]');
  button.setAttribute('aria-busy', 'true');
  const selects = [...deleteForm.querySelectorAll('select')];
  const body = {
    ...(deleteForm.dataset.guest === 'true' ? {} : { current_password: deleteForm.elements.delete_password.value }),
    organizations: Object.fromEntries(selects.map((select) => [select.dataset.organization, select.value])),
  };
  try {
    await send('DELETE', '/users/me', { body });
    await send('DELETE', '/session').catch(() => {});
    await clearCaches();
    location.assign('/');
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    showProblem(deleteForm, error, error.status === 403 ? _('The current password is wrong.') : undefined);
  } finally {
    button.removeAttribute('aria-busy');
  }
});
