/** Tags as chips: Enter or a comma adds one, Backspace in the empty field removes the last. */
import { _ } from '../../core/i18n.js';
import { icon } from '../../core/icon.js';
import { suggestTags } from '../tags.js';

/** @param {HTMLElement} box with `[data-chips]` and an input @param {string[]} tags @param {string} api @param {() => void} onChange */
export function bindTags(box, tags, api, onChange) {
  const chips = /** @type {HTMLElement} */ (box.querySelector('[data-chips]'));
  const input = /** @type {HTMLInputElement} */ (box.querySelector('input'));
  const add = (tag) => {
    if (!tag || [...chips.children].some((chip) => /** @type {HTMLElement} */ (chip).dataset.tag === tag)) return;
    const chip = document.createElement('li');
    chip.className = 'chip';
    chip.dataset.tag = tag;
    const remove = document.createElement('button');
    Object.assign(remove, { type: 'button' });
    remove.setAttribute('aria-label', _('Remove tag %(tag)s', { tag }));
    remove.append(icon('x'));
    remove.addEventListener('click', () => {
      chip.remove();
      input.focus();
      onChange();
    });
    chip.append(tag, remove);
    chips.append(chip);
  };
  const take = () => {
    input.value.split(/[,|]/).forEach((part) => add(part.trim()));
    input.value = '';
    onChange();
  };
  chips.replaceChildren();
  tags.forEach(add);
  suggestTags(input, api);
  input.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && input.value.trim()) {
      event.preventDefault();
      take();
    } else if (event.key === 'Backspace' && !input.value && chips.lastElementChild) {
      chips.lastElementChild.remove();
      onChange();
    }
  });
  input.addEventListener('input', (event) => {
    // A suggestion that was chosen comes as a replacement.
    if (input.value.includes(',') || /** @type {InputEvent} */ (event).inputType === 'insertReplacementText') take();
  });
  input.addEventListener('change', take);
}
