/** The image of a rotating code as it is now, for staff. Screens show the same, in full size. */
import { get } from '../core/api.js';

const RETRY_MS = 5000;

/**
 * Show each step for as long as it lasts. Nothing is shown while there is no image: the code has expired, or the server
 * does not answer.
 * @param {HTMLElement} box with an image @param {string} api path of the code
 */
export async function followRotatingCode(box, api) {
  const image = /** @type {HTMLImageElement} */ (box.querySelector('img'));
  let pause = RETRY_MS;
  try {
    const { image_url: path, seconds_left: seconds } = await get(`${api}/rotating`);
    // An image of the same address would be shown again, although its response is not stored.
    const response = await fetch(`${path}?format=svg&size=600`, { cache: 'no-store' });
    if (!response.ok) throw new Error(String(response.status));
    URL.revokeObjectURL(image.src);
    image.src = URL.createObjectURL(await response.blob());
    pause = seconds * 1000;
    box.hidden = false;
  } catch {
    box.hidden = true;
  }
  setTimeout(() => followRotatingCode(box, api), pause);
}
