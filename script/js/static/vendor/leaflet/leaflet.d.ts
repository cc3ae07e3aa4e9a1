/** Leaflet 1.9 has no types of its own. */
export const L: any;
