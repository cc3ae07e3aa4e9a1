/** Read QR codes from a canvas: with the browser's own detector if that works here, else in a worker. */
import { policy } from '../core/policy.js';

/** A test symbol with the text WAYMARK: one number per row of modules. */
const TEST_TEXT = 'WAYMARK';
const TEST_ROWS =
  '1fcf7f 105f41 17485d 17425d 17595d 104141 1fd57f 000300 154e12 0b3447 1a6114 1ea44b 03e150 0016a8 1fcae6 1043b1 175ae9 174462 175519 104063 1fd17d';
const WORKER = new URL('../decoder.js', import.meta.url).pathname;
const SELF_TEST_MS = 1500;

/** @typedef {{kind: 'native' | 'worker', read: (canvas: HTMLCanvasElement) => Promise<string | null>, close: () => void}} Detector */

/** Return a detector that works. Rejects if there is none: a browser without WebAssembly. @returns {Promise<Detector>} */
export async function openDetector() {
  return (await openNative()) ?? openWorker();
}

/**
 * Return the browser's detector if it reads the test symbol, else null. Some find nothing, some throw, some support no
 * format, and some never answer.
 * @returns {Promise<Detector | null>}
 */
async function openNative() {
  try {
    const Native = /** @type {any} */ (globalThis).BarcodeDetector;
    if (!Native || !(await within(Native.getSupportedFormats())).includes('qr_code')) return null;
    const native = new Native({ formats: ['qr_code'] });
    const read = async (canvas) => (await native.detect(canvas))[0]?.rawValue || null;
    return (await within(read(drawTestSymbol()))) === TEST_TEXT ? { kind: 'native', read, close: () => {} } : null;
  } catch {
    return null;
  }
}

/** @returns {Promise<Detector>} */
function openWorker() {
  return new Promise((resolve, reject) => {
    const worker = new Worker(/** @type {any} */ (policy.createScriptURL(WORKER)), { type: 'module' });
    /** @type {Map<number, (text: string | null) => void>} */
    const waiting = new Map();
    let last = 0;
    const read = (canvas) =>
      new Promise((done) => {
        const image = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        waiting.set(++last, done);
        worker.postMessage({ id: last, image }, [image.data.buffer]);
      });
    const close = () => {
      worker.terminate();
      for (const done of waiting.values()) done(null);
      waiting.clear();
    };
    const fail = (reason) => {
      close();
      reject(new Error(reason));
    };
    worker.onerror = (event) => fail(event.message || 'The decoder did not start.');
    worker.onmessage = ({ data }) => {
      if (data.error) fail(data.error);
      else if (data.ready) resolve({ kind: 'worker', read, close });
      else {
        waiting.get(data.id)?.(data.text);
        waiting.delete(data.id);
      }
    };
  });
}

/** Return a canvas with the test symbol and its quiet zone. */
function drawTestSymbol() {
  const rows = TEST_ROWS.split(' ').map((row) => parseInt(row, 16));
  const module = 6;
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = (rows.length + 8) * module;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
  context.fillStyle = 'white';
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = 'black';
  rows.forEach((row, y) => {
    for (let x = 0; x < rows.length; x += 1) {
      if ((row >> (rows.length - 1 - x)) & 1) context.fillRect((x + 4) * module, (y + 4) * module, module, module);
    }
  });
  return canvas;
}

/** Reject if a promise takes longer than a self-test may. @template T @param {Promise<T>} promise @returns {Promise<T>} */
const within = (promise) =>
  Promise.race([promise, new Promise((_, reject) => setTimeout(() => reject(new Error('too slow')), SELF_TEST_MS))]);
