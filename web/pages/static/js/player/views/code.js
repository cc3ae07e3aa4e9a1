/** A printed code that was opened while the server is out of reach: the shell reads it from its own address. */
import { useEffect, useState } from '../../../vendor/hooks.js';
import { codeInUrl, scannedText } from '../code-text.js';
import { configuration } from '../flow.js';
import { FoundCode, lookUp } from '../found-code.js';
import { html, mounts } from '../parts.js';

export const mount = mounts(OpenedCode);

function OpenedCode() {
  const code = codeInUrl(location.href, configuration().code_paths) ?? '';
  const [known, setKnown] = useState({ description: '', located: /** @type {boolean | null} */ (null) });
  useEffect(() => {
    // The connection may be back, or only slow. A code that does not exist gets its verdict.
    lookUp(code).then((answer) => 'located' in answer && setKnown(answer));
  }, []);
  return html`<${FoundCode} found=${{ ...known, code, qrCode: scannedText(location.href, code) }}
    onAgain=${() => location.assign('/play/scan')} />`;
}
