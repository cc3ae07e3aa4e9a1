/** The camera as a part of a page: its image, its tools, and each text that it reads. */
import { useEffect, useRef, useState } from '../../vendor/hooks.js';
import { _ } from '../core/i18n.js';
import { Camera } from './camera.js';
import { cameraHelp } from './camera-help.js';
import { Icon, html } from './parts.js';

/**
 * The image of the camera, its tools, and what to do if there is none.
 * @param {{onText: (text: string) => unknown, hint?: string}} properties `onText` is called once per text, until another one is read;
 *   `hint` is what to do without a camera
 */
export function Viewfinder({ onText, hint }) {
  const video = useRef(/** @type {HTMLVideoElement | null} */ (null));
  const camera = useRef(/** @type {Camera | null} */ (null));
  const latest = useRef(onText);
  latest.current = onText;
  const [, redraw] = useState(0);
  useEffect(() => {
    const made = new Camera(/** @type {HTMLVideoElement} */ (video.current), {
      onText: oncePerText((text) => latest.current(text)),
      onChange: () => redraw((count) => count + 1),
    });
    camera.current = made;
    redraw((count) => count + 1);
    mayStart().then((isAllowed) => isAllowed && camera.current === made && made.start());
    return () => {
      camera.current = null;
      made.close();
    };
  }, []);
  const used = camera.current;
  const state = used?.state ?? 'stopped';
  const isOn = state === 'scanning' || state === 'starting';
  const help = cameraHelp(state);
  return html`
    <div class="camera" data-state=${state}>
      <video ref=${video} playsinline muted autoplay aria-label=${_('Image of the camera')}></video>
      ${isOn && html`<div class="camera-frame"></div>`}
      ${!isOn && html`
        <div class="camera-off">
          <${Icon} name="camera" />
          ${help && html`<p><strong>${help.title}</strong></p>`}
          ${help?.steps.map((step) => html`<p>${step}</p>`)}
          ${help?.canTry !== false && html`
            <button class="button button-primary" type="button" onClick=${() => used?.start()}>
              ${state === 'stopped' ? _('Start camera') : _('Try again')}</button>`}
        </div>`}
      ${isOn && html`
        <div class="camera-tools">
          ${used?.hasTorch && html`
            <button class="button" type="button" aria-pressed=${String(used.torch)} onClick=${() => used.toggleTorch()}>
              <${Icon} name="flashlight" />${_('Flashlight')}</button>`}
          ${(used?.cameras ?? 0) > 1 && html`
            <button class="button" type="button" onClick=${() => used?.switchCamera()}>
              <${Icon} name="switch-camera" />${_('Switch camera')}</button>`}
        </div>`}
    </div>
    <p class="hint">${isOn ? _('Hold the code inside the frame.') : hint ?? _("Or use your phone's camera app.")}</p>`;
}

/** A code in front of the camera is read again and again: handle it once, until another one is read. */
function oncePerText(handle) {
  let [last, isBusy] = ['', false];
  return async (text) => {
    if (isBusy || text === last) return;
    [last, isBusy] = [text, true];
    await handle(text);
    isBusy = false;
  };
}

/** Whether the camera may start by itself: after a tap, or where it is allowed already. */
async function mayStart() {
  if (/** @type {any} */ (navigator).userActivation?.isActive) return true;
  const status = await navigator.permissions?.query(/** @type {any} */ ({ name: 'camera' })).catch(() => null);
  return status?.state === 'granted' || !navigator.mediaDevices;
}
