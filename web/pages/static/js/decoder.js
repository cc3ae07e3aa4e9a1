/**
 * A worker that reads QR codes from pixels, off the thread of the page.
 *
 * Its own response allows WebAssembly (`web/pages/headers.py`), so no page does. It takes `{id, image}` and answers
 * `{id, text}`, the text null if there is no code. Before that it posts `{ready: true}`, or `{error}` if it cannot start.
 */
import { prepareZXingModule, readBarcodes } from '../vendor/zxing/reader.js';

const wasm = new URL('../vendor/zxing/zxing_reader.wasm', import.meta.url).href;

// Without `locateFile` the library loads the file from a CDN.
prepareZXingModule({ overrides: { locateFile: () => wasm }, fireImmediately: true }).then(
  () => postMessage({ ready: true }),
  (error) => postMessage({ error: String(error) }),
);

onmessage = async ({ data: { id, image } }) => {
  const found = await readBarcodes(image, { formats: ['QRCode'], tryHarder: true, maxNumberOfSymbols: 1 }).catch(() => []);
  postMessage({ id, text: found[0]?.text ?? null });
};
