/** Where the codes of an organization are: what a map of them shows first. */
import { normalized } from '../geo.js';

/** @typedef {{bbox: string, zoom: number}} View */
/** @typedef {import('../map.js').Places} Places */

const WORLD = { bbox: '-180,-90,180,90', zoom: 2 };
const CELLS_PER_TILE = 4;
const CLOSER = 3;
const MAX_ZOOM = 17;

/**
 * Return all codes, or cells that are apart. Many codes in one cell of the world are looked at more closely.
 * @param {(view: View) => Promise<Places>} fetchPlaces
 */
export async function findExtent(fetchPlaces) {
  let { zoom } = WORLD;
  let places = await fetchPlaces(WORLD);
  while (places.kind === 'cells' && places.rows.length === 1 && zoom < MAX_ZOOM) {
    const side = 360 / 2 ** zoom / CELLS_PER_TILE;
    const [latitude, longitude] = places.rows[0];
    const [southwest, northeast] = [-side, side].map((by) => normalized(latitude + by, longitude + by));
    zoom += CLOSER;
    places = await fetchPlaces({ bbox: [southwest.longitude, southwest.latitude, northeast.longitude, northeast.latitude].join(','), zoom });
  }
  return places;
}
