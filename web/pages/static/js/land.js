const POLAR = 85;

/** Decode the outlines of land: TopoJSON to a GeoJSON MultiPolygon. */
export function land({ arcs, transform: { scale, translate }, objects }) {
  const lines = arcs.map((arc) => {
    let x = 0;
    let y = 0;
    return arc.map(([a, b]) => [(x += a) * scale[0] + translate[0], (y += b) * scale[1] + translate[1]]);
  });
  const ring = (ids) => unbroken(ids.flatMap((i, n) => (i < 0 ? lines[~i].slice().reverse() : lines[i]).slice(n ? 1 : 0)));
  return { type: 'MultiPolygon', coordinates: objects.land.geometries.flatMap((shape) => shape.arcs.map((polygon) => polygon.map(ring))) };
}

/** Let an outline that crosses the date line continue beyond it, instead of returning across the world. */
function unbroken(points) {
  let shift = 0;
  const moved = points.map(([longitude, latitude], n) => {
    const step = longitude - points[Math.max(0, n - 1)][0];
    // Antarctica reaches around the world along the edge of the map.
    if (Math.abs(step) > 180 && Math.abs(latitude) < POLAR) shift -= Math.sign(step) * 360;
    return [longitude + shift, latitude];
  });
  // Most of it is where the map begins.
  const middle = moved.reduce((sum, [longitude]) => sum + longitude, 0) / moved.length;
  const back = Math.round(middle / 360) * 360;
  return moved.map(([longitude, latitude]) => [longitude - back, latitude]);
}
