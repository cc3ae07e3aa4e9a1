/** The positions of a scan on a map: this one, and the one before. */
import { createMap } from '../map.js';

async function mount() {
  const element = document.getElementById('scan-map');
  if (!element) return;
  const map = await createMap(element);
  for (const { dataset } of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('[data-point]'))) {
    const { latitude, longitude, radius, tone, title } = dataset;
    map.addPoint({ latitude: Number(latitude), longitude: Number(longitude), radius_m: Number(radius) || undefined, tone, title });
  }
  map.fit();
}

mount();
document.addEventListener('scan-replaced', mount);
