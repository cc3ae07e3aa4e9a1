/** Decode the outlines of land: TopoJSON to a GeoJSON MultiPolygon. */
export function land({ arcs, transform: { scale, translate }, objects }) {
  const lines = arcs.map((arc) => {
    let x = 0;
    let y = 0;
    return arc.map(([a, b]) => [(x += a) * scale[0] + translate[0], (y += b) * scale[1] + translate[1]]);
  });
  const ring = (ids) => ids.flatMap((i, n) => (i < 0 ? lines[~i].slice().reverse() : lines[i]).slice(n ? 1 : 0));
  return { type: 'MultiPolygon', coordinates: objects.land.geometries.flatMap((shape) => shape.arcs.map((polygon) => polygon.map(ring))) };
}
