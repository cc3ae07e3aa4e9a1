/** The audit log: filters in place. */
import { bindRows } from '../staff/rows.js';

bindRows();
