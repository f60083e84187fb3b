// The one clock of terminals: milliseconds that never go back. Reads the time, and sets none.

/**
 * The wall clock goes on while a device sleeps, and can be set; the other one cannot be set, and in some browsers stands still
 * meanwhile. The larger of the two steps counts.
 */
export function startClock(): () => number {
  let [wall, steady, passed] = [Date.now(), performance.now(), 0];
  return () => {
    const [wallNow, steadyNow] = [Date.now(), performance.now()];
    passed += Math.max(wallNow - wall, steadyNow - steady);
    [wall, steady] = [wallNow, steadyNow];
    return passed;
  };
}
