/** The ground of a map: tiles if the operator named a server, else coarse land and a grid in meters. */
// Before Leaflet, also where both are in the file of a group.
import './map-policy.js';
import { L } from '../vendor/leaflet/leaflet.js';
import { _ } from './core/i18n.js';
import { land } from './land.js';

const LAND_MAX_ZOOM = 7;
const MIN_SQUARE_PX = 70;
const METERS_PER_DEGREE = 111194.93;
const outlines = new URL('../vendor/land-110m.json', import.meta.url);

/**
 * @param {any} map @param {HTMLElement} box the element with `data-tiles` and `data-attribution`
 * @param {(tokens: {stroke?: string, fill?: string}, options?: object) => object} paint
 */
export function addGround(map, box, paint) {
  const credit = document.createElement('p');
  credit.className = 'map-credit';
  const scale = document.createElement('p');
  scale.className = 'map-scale';
  box.append(scale);
  const { tiles, attribution } = box.dataset;
  map.createPane('ground').style.zIndex = '250';
  const renderer = L.canvas({ pane: 'ground', padding: 0.5 });
  if (tiles) {
    credit.textContent = attribution ?? '';
    box.append(credit);
    // Tile servers refuse requests without a referrer, and pages send none to other hosts.
    L.tileLayer(tiles, { maxNativeZoom: 19, maxZoom: map.getMaxZoom(), referrerPolicy: 'strict-origin-when-cross-origin' }).addTo(map);
  } else {
    addLand(map, renderer, paint);
  }
  const lines = L.layerGroup().addTo(map);
  const draw = () => {
    const { meters, pixels } = square(map);
    scale.textContent = distance(meters);
    scale.style.inlineSize = `${pixels}px`;
    lines.clearLayers();
    if (!tiles && map.getZoom() > LAND_MAX_ZOOM) addLines(map, lines, renderer, meters, paint);
  };
  map.on('moveend zoomend resize', draw);
  map.whenReady(draw);
}

function addLand(map, renderer, paint) {
  const shown = L.layerGroup();
  let isLoaded = false;
  const load = async () => {
    isLoaded = true;
    // Without the outlines, the map is still right: codes, radii and the grid.
    const topology = await fetch(outlines).then((response) => response.json()).catch(() => null);
    if (topology) L.geoJSON(land(topology), { interactive: false, pane: 'ground', renderer, style: paint({ stroke: 'control', fill: 'line' }, { weight: 1, fillOpacity: 1 }) }).addTo(shown);
  };
  const toggle = () => {
    if (map.getZoom() > LAND_MAX_ZOOM) shown.remove();
    else shown.addTo(map);
    if (map.getZoom() <= LAND_MAX_ZOOM && !isLoaded) load();
  };
  map.on('zoomend', toggle);
  map.whenReady(toggle);
}

/** Return the side of a square of the grid: 1, 2 or 5 times a power of ten, and wide enough to see. */
export function square(map) {
  const center = map.getCenter();
  const size = map.getSize();
  const perPixel = map.distance(center, map.containerPointToLatLng([size.x / 2 + 1, size.y / 2])) || 1;
  const least = perPixel * MIN_SQUARE_PX;
  const power = 10 ** Math.floor(Math.log10(least));
  const meters = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= least) ?? 10 * power;
  return { meters, pixels: meters / perPixel };
}

/** "50 m", "2 km" @param {number} meters */
export function distance(meters) {
  return meters < 1000 ? _('%(meters)s m', { meters }) : _('%(kilometers)s km', { kilometers: meters / 1000 });
}

function addLines(map, group, renderer, meters, paint) {
  const bounds = map.getBounds().pad(0.3);
  const center = map.getCenter();
  // The lines are counted from a degree nearby, so that they stay where they are while the map moves.
  const north = meters / METERS_PER_DEGREE;
  const east = north / Math.max(0.01, Math.cos((Math.round(center.lat * 10) / 10) * (Math.PI / 180)));
  const style = { ...paint({ stroke: 'line' }), weight: 1, interactive: false, pane: 'ground', renderer };
  const add = (from, to) => L.polyline([from, to], style).addTo(group);
  const [lat0, lng0] = [Math.round(center.lat), Math.round(center.lng)];
  for (let n = Math.ceil((bounds.getSouth() - lat0) / north); lat0 + n * north < bounds.getNorth(); n += 1) {
    add([lat0 + n * north, bounds.getWest()], [lat0 + n * north, bounds.getEast()]);
  }
  for (let n = Math.ceil((bounds.getWest() - lng0) / east); lng0 + n * east < bounds.getEast(); n += 1) {
    add([bounds.getSouth(), lng0 + n * east], [bounds.getNorth(), lng0 + n * east]);
  }
}
