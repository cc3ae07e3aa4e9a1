/** Trusted Types of Leaflet, which assigns two known texts as HTML. Loaded before it. */
const known = new Set(['<svg/>', '']);
globalThis.trustedTypes?.createPolicy('default', { createHTML: (text) => (known.has(text) ? text : null) });
