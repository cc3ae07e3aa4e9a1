/** Create an organization: a name, and a short name that is suggested from it until it is changed. */
import { bindForm } from '../core/form.js';
import { _ } from '../core/i18n.js';

const form = /** @type {HTMLFormElement | null} */ (document.getElementById('create-organization'));

if (form) {
  const name = /** @type {HTMLInputElement} */ (form.elements.namedItem('name'));
  const slug = /** @type {HTMLInputElement} */ (form.elements.namedItem('slug'));
  let suggested = '';
  name.addEventListener('input', () => {
    if (slug.value !== suggested) return;
    suggested = slugify(name.value);
    slug.value = suggested;
  });
  bindForm(form, {
    path: '/api/organizations',
    idempotent: true,
    messages: { 409: _('That short name is taken. Choose another one.') },
    onSuccess: () => location.reload(),
  });
}

/** @param {string} text */
function slugify(text) {
  const plain = text.normalize('NFKD').replace(/\p{M}/gu, '').toLowerCase();
  return plain.replace(/[^a-z0-9]+/g, '-').replace(/^-+|-+$/g, '').slice(0, 40);
}
