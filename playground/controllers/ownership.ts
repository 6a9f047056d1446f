import type { KubeObject, LabelSelector, OwnerReference } from '#kube/resources.ts';
import { matchesLabels } from '#kube/selector.ts';

/** The reference of the one owner that manages an object. */
export function controllerOf(object: KubeObject): OwnerReference | undefined {
  return object.metadata.ownerReferences?.find((reference) => reference.controller === true);
}

export function ownerReference(owner: KubeObject): OwnerReference {
  return {
    apiVersion: owner.apiVersion,
    kind: owner.kind,
    name: owner.metadata.name,
    uid: owner.metadata.uid ?? '',
    controller: true,
    blockOwnerDeletion: true,
  };
}

/** What a controller makes of the objects that are its own, or could be. */
export interface Claim<T> {
  readonly owned: readonly T[];
  /** Match the selector and belong to nobody: to be made ours. */
  readonly adopt: readonly T[];
  /** Ours, and match the selector no longer: to be let go, alive. */
  readonly release: readonly T[];
}

/** Sorts objects of the owner's namespace by whose they are. An owner that is going takes nothing new. */
export function claim<T extends KubeObject>(
  owner: KubeObject,
  selector: LabelSelector,
  objects: Iterable<T>,
): Claim<T> {
  const owned: T[] = [];
  const adopt: T[] = [];
  const release: T[] = [];
  const leaving = owner.metadata.deletionTimestamp !== undefined;
  for (const object of objects) {
    if (object.metadata.namespace !== owner.metadata.namespace) continue;
    const reference = controllerOf(object);
    const matches = selects(selector, object);
    if (reference?.uid === owner.metadata.uid) {
      if (matches || leaving) owned.push(object);
      else release.push(object);
    } else if (reference === undefined && matches && !leaving && !isLeaving(object)) {
      adopt.push(object);
    }
  }
  return { owned, adopt, release };
}

/** The merge patch that makes an object ours. Fails when it is not the object that we have seen. */
export function adoption(owner: KubeObject, object: KubeObject): unknown {
  const others = object.metadata.ownerReferences ?? [];
  return {
    metadata: { uid: object.metadata.uid, ownerReferences: [...others, ownerReference(owner)] },
  };
}

/** The merge patch that takes one owner off an object. */
export function removalOfOwners(object: KubeObject, uids: ReadonlySet<string>): unknown {
  const kept = (object.metadata.ownerReferences ?? []).filter(({ uid }) => !uids.has(uid));
  return {
    metadata: {
      uid: object.metadata.uid,
      // Or another's reference that was added meanwhile would be lost.
      resourceVersion: object.metadata.resourceVersion,
      ownerReferences: kept.length === 0 ? null : kept,
    },
  };
}

/** An empty selector selects nothing here: a set of everything is always a mistake. */
function selects(selector: LabelSelector, object: KubeObject): boolean {
  const { matchLabels = {}, matchExpressions = [] } = selector;
  if (Object.keys(matchLabels).length === 0 && matchExpressions.length === 0) return false;
  return matchesLabels(selector, object.metadata.labels);
}

function isLeaving(object: KubeObject): boolean {
  return object.metadata.deletionTimestamp !== undefined;
}
