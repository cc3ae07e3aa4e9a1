/** A puzzle that a scan opened: its clues, an answer, what is left. */
import { get, post, uuid4 } from '../../core/api.js';
import { _, ngettext } from '../../core/i18n.js';
import { shortTime } from '../../core/time.js';
import { useEffect, useRef, useState } from '../../../vendor/hooks.js';
import { Contour, Empty, Failed, html, Icon, itemName, Loading, mounts, SignedOut } from '../parts.js';
import { Clues, choicesOf } from '../clues.js';
import { useLoaded } from '../snapshots.js';

/** Return the puzzle of a scan, or null. */
async function findPuzzle({ player_id }, scanId) {
  let cursor = '';
  do {
    const page = await get(`/player/${player_id}/puzzles?limit=200${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
    const found = page.items.find((puzzle) => puzzle.scan_id === scanId);
    if (found) return found;
    cursor = page.next_cursor;
  } while (cursor);
  return null;
}

function Solved({ puzzle }) {
  const heading = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => heading.current?.focus({ preventScroll: true }), []);
  return html`
    <div class="verdict verdict-arrived tone-ok">
      <${Contour} id=${puzzle.scan_id} />
      <div class="verdict-mark"><${Icon} name="stamp" /></div>
      <h2 tabindex="-1" ref=${heading}>${puzzle.reward ? _('+%(quantity)s %(item)s', { quantity: puzzle.quantity, item: itemName(puzzle.reward) }) : _('Solved')}</h2>
      <p>${puzzle.reward ? _('Solved. Added to your inventory.') : _('Your answer is right.')}</p>
    </div>
    <a class="button button-primary button-large" href="/play/inventory">${_('View inventory')}</a>`;
}

const Ended = ({ icon, title, line }) => html`
  <div class="verdict tone-off"><div class="verdict-mark"><${Icon} name=${icon} /></div><h2>${title}</h2><p>${line}</p></div>
  <a class="button button-large" href="/play/scan">${_('Scan another')}</a>`;

function Attempts({ left }) {
  if (left === null) return null;
  return html`<p class=${left === 1 ? 'badge tone-held' : 'hint'}>${ngettext('%(num)s attempt left', '%(num)s attempts left', left)}</p>`;
}

function Answer({ puzzle, onChange, onRefused }) {
  const [answer, setAnswer] = useState('');
  const [isBusy, setBusy] = useState(false);
  const [message, setMessage] = useState('');
  const [wrong, setWrong] = useState(0);
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  // One key per answer: a retry after a lost response costs no attempt.
  const key = useRef({ answer: '', value: '' });
  const choices = choicesOf(puzzle.data);
  const submit = async (event) => {
    event.preventDefault();
    const text = answer.trim();
    if (isBusy) return;
    if (!text) {
      setMessage(_('Type an answer.'));
      input.current?.focus();
      return;
    }
    setBusy(true);
    setMessage('');
    if (key.current.answer !== text) key.current = { answer: text, value: uuid4() };
    try {
      const outcome = await post(`/encounters/${puzzle.encounter_id}/solve`, { answer: text }, { headers: { 'Idempotency-Key': key.current.value } });
      key.current = { answer: '', value: '' };
      if (outcome.solved) return onChange({ ...puzzle, ...outcome });
      navigator.vibrate?.([20, 40, 20]);
      setMessage(_("That's not it. Try again."));
      setWrong(wrong + 1);
      onChange({ ...puzzle, attempts_left: outcome.attempts_left });
      input.current?.select();
    } catch (error) {
      if (error.status === 409) onRefused();
      if (error.status === 410) onChange({ ...puzzle, isClosed: true });
      else setMessage(error.status === 0 ? _('You need to be online to answer.') : error.message);
    } finally {
      setBusy(false);
    }
  };
  return html`
    <form class="stack answer push-down" onSubmit=${submit} novalidate>
      ${choices
        ? html`
          <fieldset class="field choices"><legend>${_('Your answer')}</legend>
            ${choices.map((choice) => html`
              <label class="choice" key=${choice}><input type="radio" name="answer" value=${choice} checked=${answer === choice} onChange=${() => setAnswer(choice)} /><span>${choice}</span></label>`)}
          </fieldset>`
        : html`
          <div class="field"><label for="answer">${_('Your answer')}</label>
            <input class="input" id="answer" name="answer" ref=${input} value=${answer} maxlength="1000" autocomplete="off" autocapitalize="none" spellcheck=${false}
              enterkeyhint="send" aria-describedby="answer-message" aria-invalid=${message ? 'true' : undefined} onInput=${(event) => setAnswer(event.target.value)} />
          </div>`}
      <div class=${wrong ? 'shake' : ''} key=${wrong}><p class="field-error" id="answer-message" role="status">${message}</p></div>
      <${Attempts} left=${puzzle.attempts_left} />
      <button class="button button-primary button-large" type="submit" aria-busy=${isBusy}><span>${_('Answer')}</span></button>
    </form>`;
}

function Puzzle({ scanId }) {
  const { status, data, problem, reload, change } = useLoaded('puzzle', (player) => findPuzzle(player, scanId));
  const isClosed = data && !data.solved && (data.isClosed || new Date(data.closes_at) < new Date());
  const isSpent = data && !data.solved && !isClosed && data.attempts_left === 0;
  return html`
    <h1>${data?.description || _('Puzzle')}</h1>
    ${status === 'loading' && html`<${Loading} />`}
    ${status === 'failed' && (problem.status === 0
      ? html`<${Empty} id="offline" title=${_('You need to be online to answer.')}><button class="button" type="button" onClick=${reload}>${_('Try again')}</button></${Empty}>`
      : html`<${Failed} problem=${problem} onRetry=${reload} />`)}
    ${status === 'signed-out' && html`<${SignedOut} line=${_('Puzzles that you find appear here.')} />`}
    ${status === 'ready' && !data && html`<${Empty} id=${scanId} title=${_('This puzzle is not open to you.')} line=${_('Scan its code to open it.')}><a class="button" href="/play/scan">${_('Scan a code')}</a></${Empty}>`}
    ${data?.solved && html`<${Solved} puzzle=${data} />`}
    ${isSpent && html`<${Ended} icon="lock" title=${_('No attempts left')} line=${_('You have used all attempts for this puzzle.')} />`}
    ${isClosed && html`<${Ended} icon="clock-alert" title=${_('This puzzle is closed')} line=${_('The time for an answer is over.')} />`}
    ${data && !data.solved && !isSpent && !isClosed && html`
      <p class="row puzzle-facts">
        <span class="badge">${_('Difficulty %(level)s of 10', { level: data.difficulty_level })}</span>
        <span class="hint">${_('Open until %(time)s', { time: shortTime(data.closes_at) })}</span>
      </p>
      <${Clues} data=${data.data} />
      <${Answer} puzzle=${data} onChange=${change} onRefused=${reload} />`}`;
}

export const mount = mounts(Puzzle, ([scanId]) => ({ scanId }));
