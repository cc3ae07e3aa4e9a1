/**
 * Maps of the staff pages, on Leaflet. No other module uses it.
 *
 * A map works without the internet: land and a grid in meters place codes relative to each other. Everything on it is
 * also in a list or in fields beside it. Content for Leaflet is a node, never a text.
 */
import './map-policy.js';
import { L } from '../vendor/leaflet/leaflet.js';
import { _, ngettext } from './core/i18n.js';
import { normalized, offset } from './geo.js';
import { addGround } from './map-ground.js';
import { makePaint } from './map-paint.js';
import { Cell, pinIcon, toneIcon, tools, words } from './map-parts.js';

/** @typedef {import('./geo.js').Position} Position */
/** @typedef {{kind: 'codes' | 'cells', columns: string[], rows: any[][]}} Places as the API returns them */

const MAX_ZOOM = 21;
const PLACE_ZOOM = 17;
const MAX_PULSES = 40;
const STEP_M = 1;
const LARGE_STEP_M = 10;
const ARROWS = { ArrowUp: [0, 1], ArrowDown: [0, -1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };

/**
 * @param {HTMLElement} box an element of class `map`, as `map_box` of `parts/map.html` makes it
 * @param {{center?: Position, zoom?: number, label?: string}} [options] without a center: the world
 */
export async function createMap(box, { center, zoom, label = box.dataset.label } = {}) {
  const view = document.createElement('div');
  view.className = 'map-view';
  view.setAttribute('role', 'application');
  view.setAttribute('aria-label', label ?? _('Map'));
  box.prepend(view);
  const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
  const renderer = L.canvas({ tolerance: 6, padding: 0.3 });
  const map = L.map(view, {
    renderer, zoomControl: false, attributionControl: false, maxZoom: MAX_ZOOM, minZoom: 1, worldCopyJump: true,
    scrollWheelZoom: false, zoomAnimation: !still, fadeAnimation: !still, markerZoomAnimation: !still, inertia: !still,
  });
  map.setView(center ? [center.latitude, center.longitude] : [25, 8], zoom ?? (center ? PLACE_ZOOM : worldZoom(view)));
  // The wheel scrolls the page until the map is in use.
  map.on('focus', () => map.scrollWheelZoom.enable()).on('blur', () => map.scrollWheelZoom.disable());
  const { paint, repaint } = makePaint(box);
  const stopRepaint = repaint(map);
  addGround(map, box, paint);

  const codes = L.featureGroup().addTo(map);
  const points = L.featureGroup().addTo(map);
  const marks = new Map();
  let selected = null;
  let pin = null;
  let onMove = null;
  let onSelect = null;
  let pulses = 0;

  const addCode = (id, code, latitude, longitude, radius, active, tone) => {
    const token = tone ?? (active ? 'pine' : 'off');
    L.circle([latitude, longitude], { radius, interactive: false, ...paint({ stroke: token, fill: token }, { weight: 1, opacity: 0.5, fillOpacity: 0.08 }) }).addTo(codes);
    const mark = L.circleMarker([latitude, longitude], { radius: 7, ...paint({ stroke: 'surface', fill: token }, { weight: 2, fillOpacity: 1 }) });
    mark.bindTooltip(words(code), { direction: 'top', offset: [0, -6] });
    mark.on('click', () => onSelect?.(id)).addTo(codes);
    marks.set(id, mark);
  };
  const addCell = (latitude, longitude, count) => {
    const radius = Math.min(28, 11 + 4 * Math.log10(count));
    const options = { radius, text: compact(count), font: `600 12px ${getComputedStyle(box).fontFamily}`, ...paint({ stroke: 'on-pine', fill: 'pine' }, { weight: 2, fillOpacity: 1 }) };
    const cell = new Cell([latitude, longitude], options);
    cell.bindTooltip(words(ngettext('%(num)s code', '%(num)s codes', count)));
    cell.on('click', () => map.setView([latitude, longitude], Math.min(MAX_ZOOM, map.getZoom() + 2))).addTo(codes);
  };
  const movePin = (position) => {
    place(position);
    onMove?.(position);
  };
  const place = ({ latitude, longitude, radius_m = pin?.area.getRadius() ?? 0 }) => {
    if (!pin) {
      const mark = L.marker([latitude, longitude], { icon: pinIcon(), keyboard: false, draggable: Boolean(onMove), zIndexOffset: 1000 });
      const area = L.circle([latitude, longitude], { radius: radius_m, interactive: false, ...paint({ stroke: 'blaze', fill: 'blaze' }, { weight: 2, fillOpacity: 0.12 }) });
      pin = { mark: mark.addTo(map), area: area.addTo(map) };
      mark.on('drag', () => area.setLatLng(mark.getLatLng()));
      mark.on('dragend', () => movePin(normalized(mark.getLatLng().lat, mark.getLatLng().lng)));
    }
    pin.mark.setLatLng([latitude, longitude]);
    pin.area.setLatLng([latitude, longitude]).setRadius(radius_m);
  };
  map.on('click', ({ latlng }) => onMove && movePin(normalized(latlng.lat, latlng.lng)));
  // Before Leaflet, whose arrow keys move the map. Without a pin they still do.
  view.addEventListener('keydown', (event) => {
    const direction = ARROWS[event.key];
    if (!direction || !pin || !onMove || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const meters = event.shiftKey ? LARGE_STEP_M : STEP_M;
    const { lat, lng } = pin.mark.getLatLng();
    movePin(offset({ latitude: lat, longitude: lng }, direction[0] * meters, direction[1] * meters));
    if (!map.getBounds().pad(-0.1).contains(pin.mark.getLatLng())) map.panTo(pin.mark.getLatLng());
  }, { capture: true });

  const fit = () => {
    const bounds = L.latLngBounds([]);
    for (const layer of [codes, points]) if (layer.getLayers().length) bounds.extend(layer.getBounds());
    if (pin) bounds.extend(pin.area.getBounds());
    if (bounds.isValid()) map.fitBounds(bounds, { maxZoom: PLACE_ZOOM, padding: [32, 32] });
    else map.setView([25, 8], worldZoom(view));
  };
  box.append(tools([
    ['plus', _('Zoom in'), () => map.zoomIn()],
    ['minus', _('Zoom out'), () => map.zoomOut()],
    ['maximize', _('Show everything'), fit],
  ]));
  const resized = new ResizeObserver(() => map.invalidateSize({ animate: false }));
  resized.observe(view);

  return {
    /** Show codes, or cells with their number. `tone` makes them all look alike. @param {Places} places @param {{tone?: string}} [options] */
    setCodes({ kind, rows }, { tone } = {}) {
      codes.clearLayers();
      marks.clear();
      for (const row of rows) {
        if (kind === 'cells') addCell(row[0], row[1], row[2]);
        else addCode(row[0], row[1], row[2], row[3], row[4], row[6], tone);
      }
      this.select(selected);
    },
    /** Call a function with the id of a code that was clicked. @param {(id: string) => void} run */
    onSelect(run) {
      onSelect = run;
    },
    /** Make one code stand out. @param {string | null} id */
    select(id) {
      marks.get(selected)?.setRadius(7).closeTooltip();
      selected = id;
      marks.get(selected)?.setRadius(11).bringToFront().openTooltip();
    },
    /** Show the pin, or remove it. A pin that can move does so by click, drag and arrow keys. @param {(Position & {radius_m?: number}) | null} position */
    setPin(position) {
      if (position) {
        const isNew = !pin;
        place(position);
        if (isNew && map.getZoom() < 10) map.setView(pin.mark.getLatLng(), PLACE_ZOOM, { animate: false });
        else if (!map.getBounds().contains(pin.mark.getLatLng())) map.panTo(pin.mark.getLatLng());
      } else if (pin) {
        pin.mark.remove();
        pin.area.remove();
        pin = null;
      }
    },
    /** Let people move the pin, and hear where they put it. @param {(position: Position) => void} run */
    onMove(run) {
      onMove = run;
      view.classList.add('map-picker');
      pin?.mark.dragging.enable();
    },
    /** Call a function with the view, now and after each move. @param {(view: {bbox: string, zoom: number}) => void} run */
    onView(run) {
      const report = () => run({ bbox: box_(map.getBounds()), zoom: Math.min(22, map.getZoom()) });
      map.on('moveend', report);
      report();
    },
    /** Add a point with a status. @param {Position & {tone?: string, title?: string, radius_m?: number}} point */
    addPoint({ latitude, longitude, tone = 'info', title = '', radius_m = 0 }) {
      const layers = L.featureGroup().addTo(points);
      if (radius_m) L.circle([latitude, longitude], { radius: radius_m, interactive: false, ...paint({ stroke: tone, fill: tone }, { weight: 1, fillOpacity: 0.12 }) }).addTo(layers);
      const mark = L.marker([latitude, longitude], { icon: toneIcon(tone, 'map-point'), keyboard: false }).addTo(layers);
      if (title) mark.bindTooltip(words(title), { direction: 'top', offset: [0, -14] });
      return { remove: () => layers.remove() && points.removeLayer(layers) };
    },
    /** Show for a moment that something happened here. @param {number} latitude @param {number} longitude @param {string} tone */
    pulse(latitude, longitude, tone) {
      if (pulses >= MAX_PULSES) return;
      pulses += 1;
      const mark = L.marker([latitude, longitude], { icon: toneIcon(tone, 'map-pulse'), keyboard: false, interactive: false }).addTo(map);
      setTimeout(() => {
        mark.remove();
        pulses -= 1;
      }, 2400);
    },
    /** Move the view. @param {Position} position @param {number} [nearer] a zoom */
    show({ latitude, longitude }, nearer = Math.max(map.getZoom(), PLACE_ZOOM)) {
      map.setView([latitude, longitude], nearer);
    },
    fit,
    remove() {
      stopRepaint();
      resized.disconnect();
      map.remove();
      box.replaceChildren();
    },
  };
}

/** Return the position of one of the places: where a map of them starts, so that it loads no more than it shows. @param {Places | null} places @returns {Position | undefined} */
export function centerOf(places) {
  const row = places?.rows[0];
  if (!row) return undefined;
  const at = places.columns.indexOf('latitude');
  return { latitude: row[at], longitude: row[at + 1] };
}

const worldZoom = (view) => Math.max(1, Math.ceil(Math.log2(Math.max(view.clientWidth, 256) / 256) - 0.3));
const compact = (count) => new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 }).format(count).toLowerCase();

/** west,south,east,north in degrees, west above east across the date line */
function box_(bounds) {
  const [west, east] = [bounds.getWest(), bounds.getEast()];
  const sides = east - west >= 360 ? [-180, 180] : [normalized(0, west).longitude, normalized(0, east).longitude];
  const [south, north] = [Math.max(-90, bounds.getSouth()), Math.min(90, bounds.getNorth())];
  return [sides[0], south, sides[1], north].map((degrees) => degrees.toFixed(6)).join(',');
}
