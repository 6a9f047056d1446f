import { CLEANUP_FINALIZER } from './crd-kinds.ts';
import { at } from './json.ts';
import type { ServedKind } from './kinds.ts';
import type { StoredObject } from './object.ts';
import { timestamp } from './object.ts';

/** metav1.DeleteOptions, as far as the store acts on it. */
export interface DeleteOptions {
  readonly gracePeriodSeconds?: number | undefined;
  readonly propagationPolicy?: 'Orphan' | 'Background' | 'Foreground' | undefined;
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string } | undefined;
  readonly dryRun?: boolean | undefined;
}

/** What a delete does: takes the object away, leaves it marked for others to finish, or nothing new. */
export type DeletePlan =
  | { readonly kind: 'remove' }
  | { readonly kind: 'mark'; readonly object: StoredObject }
  | { readonly kind: 'unchanged' };

const FOREGROUND = 'foregroundDeletion';
const ORPHAN = 'orphan';
const DEFINITIONS = 'customresourcedefinitions.apiextensions.k8s.io';

/**
 * Decides about a delete: an object with finalizers, and a pod whose kubelet has to stop it, stay
 * with a deletionTimestamp until the finalizers are gone and the kubelet deletes with no grace.
 */
export function planDelete(
  kind: ServedKind,
  current: StoredObject,
  options: DeleteOptions,
  nowMs: number,
): DeletePlan {
  const graceSeconds = graceOf(kind, current, options);
  const finalizers = finalizersAfter(kind, current, options.propagationPolicy);
  if (graceSeconds === 0 && finalizers.length === 0 && !heldByNamespace(kind, current)) {
    return { kind: 'remove' };
  }
  const before = current.metadata;
  const marked = before.deletionTimestamp !== undefined;
  const shorter = graceSeconds < (before.deletionGracePeriodSeconds ?? 0);
  const sameFinalizers = finalizers.join() === (before.finalizers ?? []).join();
  if (marked && !shorter && sameFinalizers) return { kind: 'unchanged' };
  const metadata = { ...before };
  if (!marked || shorter) {
    metadata.deletionTimestamp = timestamp(nowMs + graceSeconds * 1_000);
    metadata.deletionGracePeriodSeconds = graceSeconds;
    // Asking for deletion is a change of what is wanted.
    if (before.generation !== undefined && !marked) metadata.generation = before.generation + 1;
  }
  if (finalizers.length === 0) delete metadata.finalizers;
  else metadata.finalizers = finalizers;
  if (kind.storageKey !== 'namespaces') return { kind: 'mark', object: { ...current, metadata } };
  const status = { ...asRecord(at(current, 'status')), phase: 'Terminating' };
  return { kind: 'mark', object: { ...current, metadata, status } };
}

/** Whether nothing keeps an object any more that has been marked for deletion. */
export function isReleased(kind: ServedKind, object: StoredObject): boolean {
  const { deletionTimestamp, deletionGracePeriodSeconds = 0, finalizers = [] } = object.metadata;
  if (deletionTimestamp === undefined || finalizers.length > 0) return false;
  return deletionGracePeriodSeconds === 0 && !heldByNamespace(kind, object);
}

// Namespaces have finalizers of their own, which their controller removes through "finalize".
function heldByNamespace(kind: ServedKind, object: StoredObject): boolean {
  if (kind.storageKey !== 'namespaces') return false;
  const finalizers = at(object, 'spec', 'finalizers');
  return Array.isArray(finalizers) && finalizers.length > 0;
}

function graceOf(kind: ServedKind, current: StoredObject, options: DeleteOptions): number {
  if (kind.storageKey !== 'pods') return 0;
  const phase = at(current, 'status', 'phase');
  // Nobody runs it (yet, or any more): nothing to wait for.
  if (
    at(current, 'spec', 'nodeName') === undefined ||
    phase === 'Succeeded' ||
    phase === 'Failed'
  ) {
    return 0;
  }
  const own = at(current, 'spec', 'terminationGracePeriodSeconds');
  const seconds = options.gracePeriodSeconds ?? (typeof own === 'number' ? own : 30);
  return Math.max(0, seconds);
}

function finalizersAfter(
  kind: ServedKind,
  current: StoredObject,
  policy: DeleteOptions['propagationPolicy'],
): string[] {
  const finalizers = [...(current.metadata.finalizers ?? [])];
  const isFirst = current.metadata.deletionTimestamp === undefined;
  if (kind.storageKey === DEFINITIONS && isFirst && !finalizers.includes(CLEANUP_FINALIZER)) {
    finalizers.push(CLEANUP_FINALIZER);
  }
  if (policy === undefined) return finalizers;
  const kept = finalizers.filter((name) => name !== FOREGROUND && name !== ORPHAN);
  if (policy === 'Foreground') kept.push(FOREGROUND);
  if (policy === 'Orphan') kept.push(ORPHAN);
  return kept;
}

function asRecord(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}
