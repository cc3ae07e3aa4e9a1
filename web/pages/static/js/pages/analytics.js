/** Analytics: charts with a cursor, and a time zone that can be searched. The URL states period and zone. */
import { bindCharts } from '../chart.js';

const form = /** @type {HTMLFormElement} */ (document.getElementById('zone-form'));
const zone = /** @type {HTMLInputElement} */ (document.getElementById('zone'));
const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
const isAsked = new URLSearchParams(location.search).has('tz');

// On the first visit the server does not know the zone of this browser.
if (!isAsked && own && zone.value !== own) {
  const address = new URL(form.dataset.address, location.href);
  address.searchParams.set('tz', own);
  location.replace(address);
} else {
  history.replaceState(null, '', form.dataset.address);
}
bindCharts();

const list = /** @type {HTMLDataListElement} */ (document.getElementById('zones'));
const chosen = zone.value;
zone.addEventListener('focus', fill, { once: true });
zone.addEventListener('change', () => {
  if (zone.value !== chosen && [...list.options].some((option) => option.value === zone.value)) form.requestSubmit();
});

/** Offer the zones that the browser knows. */
function fill() {
  for (const name of ['UTC', ...Intl.supportedValuesOf('timeZone')]) {
    const option = document.createElement('option');
    option.value = name;
    list.append(option);
  }
}
