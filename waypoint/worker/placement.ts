/**
 * Which of several workers gets one more tunnel: the one that has fewest; of those with as few the next one behind
 * `last`, which got the one before. `loads`: by worker, its tunnels; undefined for one that takes none. Undefined when
 * there is none to take it. Tunnels are few and last long: one worker must not get them all.
 */
export function placeTunnel(
  loads: readonly (number | undefined)[],
  last: number,
): number | undefined {
  let best: number | undefined;
  let least = Infinity;
  for (let step = 1; step <= loads.length; step++) {
    const index = (last + step) % loads.length;
    const load = loads[index];
    if (load === undefined || load >= least) continue;
    least = load;
    best = index;
  }
  return best;
}
