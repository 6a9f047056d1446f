import type { Informer } from '#kube/informer.ts';
import { type KubeObject, namespacedName } from '#kube/resources.ts';

import type { Graph } from '../krt/graph.ts';
import type { StaticCollection } from '../krt/static.ts';

/**
 * Puts what an informer tells into a collection: as a record, or not at all when there is nothing to keep.
 * What it tells at once (a list, or several events that arrived together) is one transaction. The answer
 * stops it; what is in the collection stays.
 */
export function feed<O extends KubeObject, R>(
  graph: Graph,
  informer: Pick<Informer<O>, 'on'>,
  collection: StaticCollection<R>,
  recordOf: (object: O) => R | undefined,
): () => void {
  const waiting = new Map<string, R | undefined>();
  function flush(): void {
    graph.transact(() => {
      for (const [key, record] of waiting) {
        if (record === undefined) collection.delete(key);
        else collection.set(record);
      }
      waiting.clear();
    });
  }
  function put(key: string, record: R | undefined): void {
    // What follows in the same turn joins; the first of it is not held up.
    if (waiting.size === 0) queueMicrotask(flush);
    waiting.set(key, record);
  }
  const set = (object: O) => put(namespacedName(object.metadata), recordOf(object));
  return informer.on({
    added: set,
    changed: set,
    removed: (object) => put(namespacedName(object.metadata), undefined),
  });
}
