/** The list of scans: its filters load in place. */
import { bindRows } from '../staff/rows.js';

bindRows();
