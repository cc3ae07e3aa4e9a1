/** Scan a code with the camera, or type it. What was read is shown first; checking in takes a tap. */
import { useEffect, useRef, useState } from '../../../vendor/hooks.js';
import { _ } from '../../core/i18n.js';
import { codeInInput, codeInUrl, scannedText } from '../code-text.js';
import { configuration } from '../flow.js';
import { FoundCode, lookUp } from '../found-code.js';
import { Icon, html, mounts } from '../parts.js';
import { Viewfinder } from '../viewfinder.js';

export const mount = mounts(Scan);

function Scan() {
  const [found, setFound] = useState(/** @type {import('../found-code.js').Found | null} */ (null));
  const [refused, setRefused] = useState(/** @type {{text: string, message: string, hint: string} | null} */ (null));
  const [isTyping, setTyping] = useState(false);

  /** Return whether the code can be checked in. @param {string} text @param {string | null} code */
  const take = async (text, code) => {
    const answer = code ? await lookUp(code) : { message: _("This isn't a Waymark code."), hint: text.slice(0, 200) };
    if ('message' in answer) setRefused({ text, ...answer });
    else {
      setRefused(null);
      setFound({ ...answer, code: String(code), qrCode: scannedText(text, String(code)) });
    }
    return !('message' in answer);
  };
  const again = () => {
    setFound(null);
    setRefused(null);
  };
  if (found) return html`<${FoundCode} found=${found} onAgain=${again} />`;
  return html`
    <h1>${_('Scan a code')}</h1>
    ${!isTyping && html`<${Viewfinder} onText=${(text) => take(text, codeInUrl(text, configuration().code_paths))} />`}
    <div role="status">
      ${refused && html`
        <div class="banner banner-held"><${Icon} name="circle-question-mark" />
          <div><strong>${refused.message}</strong><br />${refused.hint}</div></div>`}
    </div>
    ${isTyping
      ? html`<${TypeCode} onCode=${take} onCamera=${() => setTyping(false)} />`
      : html`<button class="button button-large" type="button" onClick=${() => (setRefused(null), setTyping(true))}>
          <${Icon} name="keyboard" />${_('Type the code')}</button>`}`;
}

/** @param {{onCode: (text: string, code: string | null) => Promise<boolean>, onCamera: () => void}} properties */
function TypeCode({ onCode, onCamera }) {
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  const [isBusy, setBusy] = useState(false);
  useEffect(() => input.current?.focus(), []);
  const submit = async (event) => {
    event.preventDefault();
    const text = input.current?.value ?? '';
    setBusy(true);
    const isGood = await onCode(text, codeInInput(text, configuration().code_paths));
    if (isGood) return;
    setBusy(false);
    input.current?.select();
  };
  return html`
    <form class="stack" onSubmit=${submit}>
      <div class="field">
        <label for="typed-code">${_('Code')}</label>
        <p class="hint" id="typed-code-hint">${_('It is printed next to the image. You can also paste its link.')}</p>
        <input class="input mono" id="typed-code" ref=${input} required maxlength="2048" aria-describedby="typed-code-hint"
          autocomplete="off" autocapitalize="none" autocorrect="off" spellcheck=${false} enterkeyhint="go" />
      </div>
      <button class="button button-primary button-large" type="submit" aria-busy=${String(isBusy)}><span>${_('Find code')}</span></button>
      <button class="button button-quiet button-large" type="button" onClick=${onCamera}><${Icon} name="camera" />${_('Use the camera')}</button>
    </form>`;
}
