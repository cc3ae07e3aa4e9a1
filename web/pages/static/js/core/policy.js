/** Trusted Types: the only scripts that a page starts by URL are its two workers. */
const own = new Set(['/sw.js', new URL('../decoder.js', import.meta.url).pathname]);

/** @param {string} url */
const createScriptURL = (url) => {
  if (own.has(url)) return url;
  throw new TypeError('Not a Waymark script.');
};

export const policy = globalThis.trustedTypes
  ? globalThis.trustedTypes.createPolicy('waymark', { createScriptURL })
  : { createScriptURL };
