/**
 * The camera of a phone, and the texts of the QR codes in front of it.
 *
 * Phones end a camera's track when they lock, when a call comes in or when an app is resumed, and some then deliver black
 * or no frames. So the tracks stop while the page is hidden and start again after it, and missing frames restart them.
 */
import { openDetector } from './detector.js';

const REMEMBERED = 'waymark_camera';
const MIN_PAUSE_MS = 100;
const SAME_TEXT_WITHIN_MS = 500;
const NO_FRAME_MS = 3000;
const SQUARE = 640;
const WHOLE_FRAME_EVERY = 3;

/**
 * @typedef {'starting' | 'scanning' | 'paused' | 'stopped' | 'denied' | 'insecure' | 'missing' | 'busy' | 'unreadable'} State
 * `paused`: no frames arrive, a tap starts again. `unreadable`: this browser can decode nothing.
 */

export class Camera {
  /**
   * @param {HTMLVideoElement} video
   * @param {{onText: (text: string) => void, onChange: () => void}} callbacks
   */
  constructor(video, { onText, onChange }) {
    this.video = video;
    this.onText = onText;
    this.onChange = onChange;
    /** @type {State} */
    this.state = 'stopped';
    this.hasTorch = this.torch = false;
    this.cameras = 0;
    /** @type {MediaStream | null} */
    this.stream = null;
    /** @type {Promise<import('./detector.js').Detector> | null} */
    this.detector = null;
    this.canvas = document.createElement('canvas');
    this.run = 0;
    this.onVisibility = () => (document.hidden ? this.release() : this.wanted && this.start());
    document.addEventListener('visibilitychange', this.onVisibility);
  }

  /** Ask for the camera and read. Call it after a tap: browsers may ask for permission. @param {string} [deviceId] */
  async start(deviceId) {
    this.wanted = true;
    this.release();
    const run = this.run;
    if (!navigator.mediaDevices?.getUserMedia) return this.change(isSecureContext ? 'missing' : 'insecure');
    this.change('starting');
    this.detector ??= openDetector();
    this.detector.catch(() => {});
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: wishes(deviceId), audio: false });
    } catch (error) {
      return run === this.run && this.change(stateOf(error));
    }
    // Meanwhile it was stopped, or started again.
    if (run !== this.run) return stopTracks(stream);
    this.stream = stream;
    const [track] = stream.getVideoTracks();
    remember(track.getSettings().deviceId);
    this.hasTorch = Boolean(/** @type {any} */ (track.getCapabilities?.())?.torch);
    track.addEventListener('ended', () => run === this.run && this.recover());
    this.video.srcObject = stream;
    // Rejects if another start follows at once.
    await this.video.play().catch(() => {});
    this.cameras = await countCameras();
    try {
      await this.detector;
    } catch {
      if (run !== this.run) return;
      // Its files are stored by the first use: without a connection before that, another try may work.
      this.detector = null;
      this.stop();
      return this.change('unreadable');
    }
    if (run !== this.run) return;
    this.change('scanning');
    this.read(run);
    this.watch(run);
  }

  /** Turn the camera off. */
  stop() {
    this.wanted = false;
    this.release();
    this.change('stopped');
  }

  /** Turn the camera off for good. */
  close() {
    document.removeEventListener('visibilitychange', this.onVisibility);
    this.wanted = false;
    this.release();
    this.detector?.then((detector) => detector.close(), () => {});
  }

  /** Start the next of the cameras. */
  async switchCamera() {
    const devices = await listCameras();
    const current = this.stream?.getVideoTracks()[0]?.getSettings().deviceId;
    const next = devices[(devices.findIndex(({ deviceId }) => deviceId === current) + 1) % devices.length];
    await this.start(next?.deviceId);
  }

  /** Turn the light on or off. */
  async toggleTorch() {
    const [track] = this.stream?.getVideoTracks() ?? [];
    const torch = !this.torch;
    try {
      await track?.applyConstraints(/** @type {any} */ ({ advanced: [{ torch }] }));
      this.torch = torch;
    } catch {
      this.hasTorch = false;
    }
    this.onChange();
  }

  /** @param {State} state */
  change(state) {
    this.state = state;
    this.onChange();
  }

  /** End what runs: its loops notice that `run` has changed. */
  release() {
    this.run += 1;
    if (this.stream) stopTracks(this.stream);
    this.stream = null;
    this.torch = this.hasTorch = false;
    this.video.srcObject = null;
  }

  /** Read frames, at most ten a second, until the state changes. A text counts if it is read twice. @param {number} run */
  async read(run) {
    const detector = /** @type {import('./detector.js').Detector} */ (await this.detector);
    let [text, seenAt, tries] = [/** @type {string | null} */ (null), 0, 0];
    this.frameAt = performance.now();
    for (;;) {
      const startedAt = performance.now();
      await nextFrame(this.video);
      if (run !== this.run || this.state !== 'scanning') return;
      this.frameAt = performance.now();
      tries += 1;
      if (draw(this.video, this.canvas, tries % WHOLE_FRAME_EVERY === 0)) {
        const found = await detector.read(this.canvas).catch(() => null);
        if (run !== this.run || this.state !== 'scanning') return;
        const now = performance.now();
        if (found && found === text && now - seenAt <= SAME_TEXT_WITHIN_MS) this.onText(found);
        if (found) [text, seenAt] = [found, now];
      }
      await pause(MIN_PAUSE_MS - (performance.now() - startedAt));
    }
  }

  /** Restart the camera once if no frame arrives. @param {number} run */
  async watch(run) {
    while (run === this.run) {
      await pause(1000);
      if (run !== this.run) return;
      if (this.state === 'scanning' && performance.now() - (this.frameAt ?? 0) > NO_FRAME_MS) return this.recover();
      // Frames arrive again: the next time it may restart once more.
      if (performance.now() - (this.frameAt ?? 0) < MIN_PAUSE_MS * 5) this.hasRestarted = false;
    }
  }

  recover() {
    if (document.hidden) return this.release();
    if (!this.hasRestarted) {
      this.hasRestarted = true;
      return this.start();
    }
    this.hasRestarted = false;
    this.release();
    return this.change('paused');
  }
}

/** The camera that was used last, else the one on the back. Labels say nothing reliable. @param {string} [deviceId] */
function wishes(deviceId) {
  const size = { width: { ideal: 1280 }, height: { ideal: 720 } };
  if (deviceId) return { ...size, deviceId: { exact: deviceId } };
  const remembered = recall();
  return { ...size, ...(remembered ? { deviceId: { ideal: remembered } } : { facingMode: 'environment' }) };
}

/** @param {any} error @returns {State} */
function stateOf({ name }) {
  if (name === 'NotAllowedError' || name === 'SecurityError') return isSecureContext ? 'denied' : 'insecure';
  if (name === 'NotReadableError' || name === 'AbortError') return 'busy';
  return 'missing';
}

/**
 * Draw what is decoded: the square in the middle, or all of the frame. Return false if there is no image yet.
 * @param {HTMLVideoElement} video @param {HTMLCanvasElement} canvas @param {boolean} isWhole
 */
function draw(video, canvas, isWhole) {
  const { videoWidth: width, videoHeight: height } = video;
  if (!width || !height) return false;
  const side = Math.min(width, height);
  const [w, h] = isWhole ? [width, height] : [side, side];
  const scale = Math.min(1, (isWhole ? 2 * SQUARE : SQUARE) / Math.max(w, h));
  canvas.width = Math.round(w * scale);
  canvas.height = Math.round(h * scale);
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d', { willReadFrequently: true }));
  context.drawImage(video, (width - w) / 2, (height - h) / 2, w, h, 0, 0, canvas.width, canvas.height);
  return true;
}

/** @param {any} video @returns {Promise<void>} */
const nextFrame = (video) =>
  new Promise((resolve) => (video.requestVideoFrameCallback ? video.requestVideoFrameCallback(() => resolve()) : requestAnimationFrame(() => resolve())));

/** @param {number} ms @returns {Promise<void>} */
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));

/** @param {MediaStream} stream */
const stopTracks = (stream) => stream.getTracks().forEach((track) => track.stop());

const listCameras = async () =>
  (await navigator.mediaDevices.enumerateDevices().catch(() => [])).filter(({ kind }) => kind === 'videoinput');
const countCameras = async () => (await listCameras()).length;

/** @param {string | undefined} deviceId */
function remember(deviceId) {
  try {
    if (deviceId) localStorage.setItem(REMEMBERED, deviceId);
  } catch {
    // A private window: the next start asks for the camera on the back.
  }
}

function recall() {
  try {
    return localStorage.getItem(REMEMBERED);
  } catch {
    return null;
  }
}
