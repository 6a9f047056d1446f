import { MultiMap } from '#common/collections/multi-map.ts';
import type { KubeObject, OwnerReference } from '#kube/resources.ts';

export const FOREGROUND = 'foregroundDeletion';
export const ORPHAN = 'orphan';

/** How an owner of an object stands. */
export type OwnerState =
  | 'present'
  /** Being deleted, after everything that it owns. */
  | 'waiting'
  | 'absent'
  /** Its kind is not served now: nothing can be said. */
  | 'unknown';

/** What is to be done with an object because of those who own it. */
export type DependentPlan =
  | { readonly kind: 'nothing' }
  /** It has other owners: only the references go. */
  | { readonly kind: 'drop-owners'; readonly uids: ReadonlySet<string> }
  | { readonly kind: 'delete'; readonly policy: 'Foreground' | 'Background' | 'Orphan' };

/** Who owns whom, as far as it has been seen. */
export class OwnershipGraph {
  readonly #objects = new Map<string, KubeObject>();
  readonly #dependents = new MultiMap<string, string, KubeObject>();

  get(uid: string): KubeObject | undefined {
    return this.#objects.get(uid);
  }

  put(object: KubeObject): void {
    const uid = object.metadata.uid ?? '';
    this.remove(uid);
    this.#objects.set(uid, object);
    for (const owner of ownersOf(object)) this.#dependents.set(owner.uid, uid, object);
  }

  remove(uid: string): void {
    const known = this.#objects.get(uid);
    if (known === undefined) return;
    this.#objects.delete(uid);
    for (const owner of ownersOf(known)) this.#dependents.delete(owner.uid, uid);
  }

  dependentsOf(uid: string): readonly KubeObject[] {
    return [...this.#dependents.get(uid).values()];
  }

  /** Those that hold up the owner's own deletion. */
  blockersOf(uid: string): readonly KubeObject[] {
    return this.dependentsOf(uid).filter((dependent) =>
      ownersOf(dependent).some((owner) => owner.uid === uid && owner.blockOwnerDeletion === true),
    );
  }
}

export function ownersOf({ metadata }: KubeObject): readonly OwnerReference[] {
  return metadata.ownerReferences ?? [];
}

export function isWaitingForDependents({ metadata }: KubeObject): boolean {
  return (
    metadata.deletionTimestamp !== undefined && (metadata.finalizers ?? []).includes(FOREGROUND)
  );
}

export function isOrphaning({ metadata }: KubeObject): boolean {
  return metadata.deletionTimestamp !== undefined && (metadata.finalizers ?? []).includes(ORPHAN);
}

/**
 * Decides about an object by the state of its owners (pure): it stays while one of them does, and goes
 * when none is left, or when all that are left wait for it.
 */
export function planDependent(
  object: KubeObject,
  stateOf: (owner: OwnerReference) => OwnerState,
  hasDependents: boolean,
): DependentPlan {
  const owners = ownersOf(object);
  if (owners.length === 0) return { kind: 'nothing' };
  if (object.metadata.deletionTimestamp !== undefined) return { kind: 'nothing' };
  const states = owners.map((owner) => ({ uid: owner.uid, state: stateOf(owner) }));
  if (states.some(({ state }) => state === 'unknown')) return { kind: 'nothing' };
  const gone = states.filter(({ state }) => state !== 'present');
  if (gone.length === 0) return { kind: 'nothing' };
  if (gone.length < states.length) {
    return { kind: 'drop-owners', uids: new Set(gone.map(({ uid }) => uid)) };
  }
  const { finalizers = [] } = object.metadata;
  if (finalizers.includes(ORPHAN)) return { kind: 'delete', policy: 'Orphan' };
  const isWaitedFor = states.some(({ state }) => state === 'waiting');
  const inForeground = finalizers.includes(FOREGROUND) || (isWaitedFor && hasDependents);
  return { kind: 'delete', policy: inForeground ? 'Foreground' : 'Background' };
}
