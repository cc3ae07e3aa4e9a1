/** The service counter. */
import { mountCounter } from '../staff/counter.js';

const element = /** @type {HTMLElement} */ (document.getElementById('counter'));
mountCounter(element, JSON.parse(document.getElementById('recent')?.textContent ?? '[]'));
