/**
 * Two lists as one: `ordered` in its order, and each of `others` before the first item that followed
 * it in the former list. `placeOf` gives an item's place there, -1 for one that was not in it; such a
 * new item comes after the others that nothing else keeps back.
 */
export function interleave<T>(
  ordered: readonly T[],
  others: readonly T[],
  placeOf: (item: T) => number,
): T[] {
  const result: T[] = [];
  const waiting = [...others];
  for (const [index, item] of ordered.entries()) {
    const place = placeOf(item);
    const bound = place < 0 ? nextPlace(ordered.slice(index), placeOf) : place;
    const later = waiting.findIndex((other) => placeOf(other) > bound);
    result.push(...waiting.splice(0, later < 0 ? waiting.length : later), item);
  }
  return [...result, ...waiting];
}

/** The first place in the former list that an item still takes. */
function nextPlace<T>(items: readonly T[], placeOf: (item: T) => number): number {
  const places = items.map(placeOf).filter((place) => place >= 0);
  return Math.min(...places, Number.POSITIVE_INFINITY);
}
