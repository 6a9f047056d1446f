import { Collection } from './collection.ts';
import type { Graph } from './graph.ts';

/** One collection as operators see it. */
export interface CollectionDump {
  readonly name: string;
  readonly synced: boolean;
  readonly size: number;
  readonly indexes: readonly string[];
  /** How many readings of other collections' items depend on this one. */
  readonly readings: number;
  readonly items: Readonly<Record<string, unknown>>;
}

/** The whole graph, in the order of dependency; `items` with their keys in order, as plain JSON values. */
export function dumpGraph(
  graph: Graph,
  chosen: (name: string) => boolean = () => true,
): readonly CollectionDump[] {
  return graph.members.flatMap((member) =>
    member instanceof Collection && chosen(member.name) ? [dump(member)] : [],
  );
}

function dump(collection: Collection<unknown>): CollectionDump {
  const keys = [...collection.keys()].toSorted();
  return {
    name: collection.name,
    synced: collection.isSynced,
    size: collection.size,
    ...collection.describe(),
    items: Object.fromEntries(keys.map((key) => [key, plain(collection.get(key))])),
  };
}

/** Bytes as their hexadecimal text, Maps as objects, big integers as text: what JSON can say. */
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
  if (value instanceof Set) return [...value].map(plain);
  if (value instanceof Map) {
    return Object.fromEntries([...value].map(([key, item]) => [String(key), plain(item)]));
  }
  if (Array.isArray(value)) return value.map(plain);
  const entries = Object.entries(value).filter(([name]) => !name.startsWith('$'));
  return Object.fromEntries(entries.map(([name, item]) => [name, plain(item)]));
}
