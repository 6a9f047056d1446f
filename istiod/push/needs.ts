/** Keys that changed, by kind. */
export type Changes = ReadonlyMap<string, ReadonlySet<string>>;

/** A client, as far as the order of pushes depends on it. */
export interface Placed {
  /** The node that it serves; empty when it serves none. */
  readonly node: string;
}

/**
 * Clients in the order in which they are told: first those on whose own node something has changed, for
 * their pods wait for it, then all others.
 */
export function urgentFirst<C extends Placed>(
  clients: Iterable<C>,
  changedNodes: ReadonlySet<string>,
): readonly C[] {
  const urgent: C[] = [];
  const others: C[] = [];
  for (const client of clients) {
    if (client.node !== '' && changedNodes.has(client.node)) urgent.push(client);
    else others.push(client);
  }
  return [...urgent, ...others];
}

/** Everything that changed in either. */
export function mergeChanges(one: Changes, other: Changes): Changes {
  const merged = new Map(one);
  for (const [kind, keys] of other) {
    const before = merged.get(kind);
    merged.set(kind, before === undefined ? keys : new Set([...before, ...keys]));
  }
  return merged;
}
