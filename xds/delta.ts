/** Names to send and names to report as gone: what makes a client's set equal to ours. */
export interface Delta {
  readonly changed: readonly string[];
  readonly removed: readonly string[];
}

/** From what a client holds (name → version) to what there is. An empty version is never the same. */
export function deltaBetween(
  known: ReadonlyMap<string, string>,
  current: Iterable<{ readonly name: string; readonly version: string }>,
): Delta {
  const changed: string[] = [];
  const left = new Set(known.keys());
  for (const { name, version } of current) {
    left.delete(name);
    const held = known.get(name);
    if (held === undefined || held === '' || held !== version) changed.push(name);
  }
  return { changed, removed: [...left] };
}

/** What a client holds: name → version, for the next time that it connects. */
export class HeldVersions {
  readonly #versions = new Map<string, string>();

  /** For `initial_resource_versions`. */
  entries(): Readonly<Record<string, string>> {
    return Object.fromEntries(this.#versions);
  }

  get size(): number {
    return this.#versions.size;
  }

  /** A response was applied; those that were refused keep what was there before, if anything. */
  apply(
    resources: readonly { readonly name: string; readonly version: string }[],
    removed: readonly string[],
    refused: ReadonlySet<string>,
  ): void {
    for (const name of removed) this.#versions.delete(name);
    for (const { name, version } of resources) {
      if (!refused.has(name)) this.#versions.set(name, version);
    }
  }
}
