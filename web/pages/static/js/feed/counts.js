/** How many scans there were in the last minute and in the last hour, in steps of ten seconds. Pure. */
const STEP_S = 10;
const MINUTE = 60 / STEP_S;
const HOUR = 3600 / STEP_S;

export function createCounts() {
  /** By step since 1970: settled scans, and successes among them. @type {Map<number, [number, number]>} */
  const steps = new Map();

  return {
    /** Start with the counts of the server. @param {[number, number, number][]} rows seconds since 1970, scans, successes */
    reset(rows) {
      steps.clear();
      for (const [at, count, success] of rows) steps.set(Math.floor(at / STEP_S), [count, success]);
    },
    /** @param {number} at milliseconds since 1970 @param {boolean} isSuccess */
    add(at, isSuccess) {
      const step = Math.floor(at / 1000 / STEP_S);
      const [count, success] = steps.get(step) ?? [0, 0];
      steps.set(step, [count + 1, success + Number(isSuccess)]);
    },
    /** @param {number} now milliseconds since 1970 @returns {{minute: number, hour: number, rate: number | null}} */
    totals(now) {
      const current = Math.floor(now / 1000 / STEP_S);
      const totals = { minute: 0, hour: 0, success: 0 };
      for (const [step, [count, success]] of steps) {
        if (step <= current - HOUR) {
          steps.delete(step);
        } else {
          totals.hour += count;
          totals.success += success;
          if (step > current - MINUTE) totals.minute += count;
        }
      }
      return { minute: totals.minute, hour: totals.hour, rate: totals.hour ? totals.success / totals.hour : null };
    },
  };
}
