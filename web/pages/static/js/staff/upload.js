/** Send a file with its progress, which fetch does not report. And poll until the work is done. */
import { Problem, get, signedInAgain, sleep } from '../core/api.js';

const MAX_PAUSE = 5;

/**
 * Return the decoded body of the response, and whether it is that of an earlier request with the same key. Raise Problem.
 * @param {string} path @param {Blob} file
 * @param {{headers?: Record<string, string>, onProgress?: (share: number) => void}} [options]
 * @returns {Promise<{content: any, isReplay: boolean}>}
 */
export async function upload(path, file, options = {}) {
  const { status, text, retryAfter, isReplay } = await sendFile(path, file, options);
  let content = null;
  try {
    content = text ? JSON.parse(text) : null;
  } catch {
    // A proxy answered: the status says what is wrong.
  }
  if (status === 401 && (await signedInAgain())) return upload(path, file, options);
  if (status < 200 || status >= 300) throw new Problem(status, content, retryAfter);
  return { content, isReplay };
}

/** @param {string} path @param {Blob} file @param {{headers?: Record<string, string>, onProgress?: (share: number) => void}} options @returns {Promise<any>} */
function sendFile(path, file, { headers = {}, onProgress }) {
  const request = new XMLHttpRequest();
  request.open('POST', path);
  for (const [name, value] of Object.entries({ Accept: 'application/json', ...headers })) request.setRequestHeader(name, value);
  request.upload.onprogress = ({ loaded, total }) => onProgress?.(total ? loaded / total : 0);
  return new Promise((resolve) => {
    const done = () => resolve({
      status: request.status,
      text: request.responseText,
      retryAfter: Number(request.getResponseHeader('Retry-After')) || undefined,
      isReplay: request.getResponseHeader('Idempotent-Replayed') === 'true',
    });
    request.onload = done;
    request.onerror = done;
    request.send(file);
  });
}

/**
 * Get a path until `isDone`, after 1 s at first and up to 5 s later. While the server is busy or unreachable, go on.
 * @param {string} path @param {(content: any) => boolean} isDone @param {(content: any) => void} onContent
 */
export async function poll(path, isDone, onContent) {
  for (let pause = 1; ; pause = Math.min(MAX_PAUSE, pause * 1.5)) {
    await sleep(pause);
    try {
      const content = await get(path);
      onContent(content);
      if (isDone(content)) return content;
    } catch (error) {
      if (!(error instanceof Problem) || ![0, 429, 502, 503, 504].includes(error.status)) throw error;
    }
  }
}
