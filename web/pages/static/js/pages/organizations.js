/** Create an organization: one field, from which a short name is suggested until it is changed. */
import { bindForm } from '../core/form.js';
import { _ } from '../core/i18n.js';
import { showTimes } from '../core/time.js';
import { bindDialogs } from '../staff/dialogs.js';
import { bindKeys, shortcut } from '../staff/keys.js';

showTimes();
bindDialogs();
bindKeys();
const form = /** @type {HTMLFormElement | null} */ (document.getElementById('create-organization'));
const create = /** @type {HTMLElement | null} */ (document.querySelector('[data-new]'));

if (form && create) {
  const name = /** @type {HTMLInputElement} */ (form.elements.namedItem('name'));
  const slug = /** @type {HTMLInputElement} */ (form.elements.namedItem('slug'));
  const line = /** @type {HTMLElement} */ (form.querySelector('[data-slug-line]'));
  const field = /** @type {HTMLElement} */ (form.querySelector('[data-slug-field]'));
  const changeSlug = () => {
    line.hidden = true;
    field.hidden = false;
    slug.focus();
  };
  shortcut('n', _('Create organization'), () => create.click());
  name.addEventListener('input', () => {
    if (!field.hidden) return;
    slug.value = slugify(name.value);
    /** @type {HTMLElement} */ (line.querySelector('[data-slug]')).textContent = slug.value;
    line.hidden = !slug.value;
  });
  form.querySelector('[data-change-slug]')?.addEventListener('click', changeSlug);
  bindForm(form, {
    path: '/api/organizations',
    idempotent: true,
    onSuccess: (organization) => location.assign(`/o/${organization.slug}`),
    onProblem: (problem) => {
      if (problem.errors.some(({ loc }) => loc === 'body.slug') || isSlugTaken(problem)) changeSlug();
    },
    messages: { 409: (problem) => (isSlugTaken(problem) ? _('That short name is taken. Choose another one.') : problem.message) },
  });
}

/** Unlike a quota, a taken slug names the slug. @param {import('../core/api.js').Problem} problem */
const isSlugTaken = (problem) => problem.status === 409 && /slug/i.test(problem.body?.detail);

/** @param {string} text */
function slugify(text) {
  const plain = text.normalize('NFKD').replace(/\p{M}/gu, '').toLowerCase();
  return plain.replace(/[^a-z0-9]+/g, '-').replace(/^-+|-+$/g, '').slice(0, 40).replace(/-+$/, '');
}
