/** Names and values that an object is labelled with. */
export type Labels = Readonly<Record<string, string>>;

/**
 * Whether labels have everything that a selector asks for. A selector that asks for nothing selects
 * everything: callers for whom it selects nothing (Services, for one) look at that first.
 */
export function selects(selector: Labels, labels: Labels): boolean {
  return Object.entries(selector).every(
    ([name, value]) => Object.hasOwn(labels, name) && labels[name] === value,
  );
}

/** For `fetch.all`: the items that these labels are selected by. */
export function selecting<T>(
  labels: Labels,
  selectorOf: (item: T) => Labels | undefined,
): (item: T) => boolean {
  return (item) => {
    const selector = selectorOf(item);
    return selector !== undefined && selects(selector, labels);
  };
}
