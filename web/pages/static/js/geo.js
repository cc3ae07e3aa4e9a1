/** Positions on the earth, without a map: distances, and what people paste. */

/** @typedef {{latitude: number, longitude: number}} Position */

const METERS_PER_DEGREE = 111194.93;
const DECIMALS = 6;
const NUMBER = String.raw`[+-]?\d{1,3}(?:\.\d+)?`;
const PAIR = new RegExp(String.raw`^(${NUMBER})[,;\s]\s*(${NUMBER})$`);
const HEMISPHERES = new RegExp(String.raw`^(${NUMBER})\s*°?\s*([NS])[,;\s]\s*(${NUMBER})\s*°?\s*([EW])$`, 'i');
const SEXAGESIMAL = /^(\d{1,3})°\s*(\d{1,2})['′]\s*(?:(\d{1,2}(?:\.\d+)?)["″])?\s*([NS])[,;\s]*(\d{1,3})°\s*(\d{1,2})['′]\s*(?:(\d{1,2}(?:\.\d+)?)["″])?\s*([EW])$/i;
/** Where links of maps have a position, the most exact first: of a place, of a query, of the view. */
const LINKS = [
  new RegExp(`!3d(${NUMBER})!4d(${NUMBER})`),
  new RegExp(`[?&]mlat=(${NUMBER})&mlon=(${NUMBER})`),
  new RegExp(`[?&](?:q|query|ll|sll|daddr|destination|center|cp|coordinate)=(?:loc:)?(${NUMBER})[,~](${NUMBER})`),
  new RegExp(`^geo:(${NUMBER}),(${NUMBER})`),
  new RegExp(`@(${NUMBER}),(${NUMBER})`),
  new RegExp(`#(?:map=)?\\d{1,2}(?:\\.\\d+)?/(${NUMBER})/(${NUMBER})`),
];

/** Return the position that is `east` and `north` meters from another. @param {Position} from @returns {Position} */
export function offset({ latitude, longitude }, east, north) {
  const cosine = Math.max(Math.cos((latitude * Math.PI) / 180), 1e-6);
  return normalized(latitude + north / METERS_PER_DEGREE, longitude + east / METERS_PER_DEGREE / cosine);
}

/** Return a position with a longitude from -180 to 180, to a tenth of a meter. @returns {Position} */
export function normalized(latitude, longitude) {
  const wrapped = ((((longitude + 180) % 360) + 360) % 360) - 180;
  return { latitude: rounded(Math.min(90, Math.max(-90, latitude))), longitude: rounded(wrapped) };
}

/**
 * Return the position that a text gives: "52.3731, 4.8926", "52.3731° N, 4.8926° E", degrees with minutes, or the link
 * of a map. Null if it gives none.
 * @param {string} text @returns {Position | null}
 */
export function parsePosition(text) {
  const trimmed = text.trim();
  const pair = PAIR.exec(trimmed);
  if (pair) return inRange(Number(pair[1]), Number(pair[2]));
  const named = HEMISPHERES.exec(trimmed);
  if (named) return inRange(signed(Number(named[1]), named[2]), signed(Number(named[3]), named[4]));
  const parts = SEXAGESIMAL.exec(trimmed);
  if (parts) {
    const [, d, m, s, north, d2, m2, s2, east] = parts;
    return inRange(signed(degrees(d, m, s), north), signed(degrees(d2, m2, s2), east));
  }
  const link = decoded(trimmed);
  for (const pattern of LINKS) {
    const found = pattern.exec(link);
    if (found) return inRange(Number(found[1]), Number(found[2]));
  }
  return null;
}

const rounded = (/** @type {number} */ degrees) => Number(degrees.toFixed(DECIMALS)) + 0;
const degrees = (whole, minutes, seconds = '0') => Number(whole) + Number(minutes) / 60 + Number(seconds) / 3600;
const signed = (value, hemisphere) => (/[SW]/i.test(hemisphere) ? -value : value);

function inRange(latitude, longitude) {
  return Math.abs(latitude) <= 90 && Math.abs(longitude) <= 180 ? { latitude: rounded(latitude), longitude: rounded(longitude) } : null;
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
