import { randomBytes, randomUUID } from 'node:crypto';
import type { FieldProblem } from './errors.ts';
import { badRequest, conflict, forbiddenField, invalid, requiredValue } from './errors.ts';
import { deepEqual } from './json.ts';
import type { ServedKind } from './kinds.ts';
import type { ApiObject, ObjectMeta, StoredObject } from './object.ts';
import { timestamp } from './object.ts';

// Without vowels and look-alikes, so that no suffix reads as a word.
const SUFFIX_LETTERS = 'bcdfghjklmnpqrstvwxz2456789';
const SUFFIX_LENGTH = 5;
const GENERATED_NAME_LENGTH_MAX = 63;

/** A name that starts with `prefix`, shortened if need be, and ends with five random characters. */
export function generateName(prefix: string): string {
  const base = prefix.slice(0, GENERATED_NAME_LENGTH_MAX - SUFFIX_LENGTH);
  let name = base;
  for (const byte of randomBytes(SUFFIX_LENGTH)) {
    name += SUFFIX_LETTERS.charAt(byte % SUFFIX_LETTERS.length);
  }
  return name;
}

/** Fills in what the server decides about a new object. `object` is changed. */
export function stampNew(
  kind: ServedKind,
  namespace: string | undefined,
  object: ApiObject,
  nowMs: number,
): asserts object is StoredObject {
  const { metadata } = object;
  if (!metadata.name && metadata.generateName) metadata.name = generateName(metadata.generateName);
  if (!metadata.name) {
    const problem = requiredValue('metadata.name', 'name or generateName is required');
    throw invalid(kind, '', [problem]);
  }
  if (kind.namespaced && namespace !== undefined) metadata.namespace = namespace;
  else delete metadata.namespace;
  metadata.uid = randomUUID();
  metadata.creationTimestamp = timestamp(nowMs);
  metadata.resourceVersion = '';
  delete metadata.deletionTimestamp;
  delete metadata.deletionGracePeriodSeconds;
  delete metadata.selfLink;
  delete metadata.generation;
}

/** Refuses an object whose place differs from the one in the request's path. */
export function checkPlace(
  kind: ServedKind,
  object: ApiObject,
  place: { readonly namespace?: string | undefined; readonly name?: string },
): void {
  const { namespace, name } = object.metadata;
  if (kind.namespaced && namespace && namespace !== place.namespace) {
    throw badRequest(
      'the namespace of the provided object does not match the namespace sent on the request',
    );
  }
  if (place.name !== undefined && name && name !== place.name) {
    throw badRequest(
      `the name of the object (${name}) does not match the name on the URL (${place.name})`,
    );
  }
}

/** Refuses to overwrite a newer or another object. */
export function checkPreconditions(kind: ServedKind, next: ApiObject, current: StoredObject): void {
  const { uid, resourceVersion } = next.metadata;
  const { name } = current.metadata;
  if (uid && uid !== current.metadata.uid) {
    throw conflict(kind, name, uidMismatch(uid, current.metadata.uid));
  }
  if (resourceVersion && resourceVersion !== current.metadata.resourceVersion) {
    throw conflict(kind, name);
  }
}

function uidMismatch(asked: string, current: string): string {
  return `Precondition failed: UID in precondition: ${asked}, UID in object meta: ${current}`;
}

/** Gives an update the metadata that only the server may change. `next` is changed. */
export function carryOver(next: ApiObject, current: StoredObject): asserts next is StoredObject {
  const from = current.metadata;
  const metadata: ObjectMeta = next.metadata;
  metadata.name = from.name;
  metadata.uid = from.uid;
  metadata.resourceVersion = from.resourceVersion;
  copyOrDrop(metadata, from, 'namespace');
  copyOrDrop(metadata, from, 'generateName');
  copyOrDrop(metadata, from, 'generation');
  copyOrDrop(metadata, from, 'creationTimestamp');
  copyOrDrop(metadata, from, 'deletionTimestamp');
  copyOrDrop(metadata, from, 'deletionGracePeriodSeconds');
  delete metadata.selfLink;
}

function copyOrDrop(to: ObjectMeta, from: ObjectMeta, field: keyof ObjectMeta): void {
  if (from[field] === undefined) delete to[field];
  else Object.assign(to, { [field]: from[field] });
}

/** Whether an update changes what `metadata.generation` counts: all but the metadata and the status. */
export function changesSpec(next: ApiObject, current: ApiObject): boolean {
  const fields = new Set([...Object.keys(next), ...Object.keys(current)]);
  for (const field of ['metadata', 'status', 'apiVersion', 'kind']) fields.delete(field);
  return [...fields].some((field) => !deepEqual(next[field], current[field]));
}

/** What an update may not do to the metadata. */
export function metadataProblems(next: ApiObject, current: StoredObject): readonly FieldProblem[] {
  const problems: FieldProblem[] = [];
  const before = current.metadata.finalizers ?? [];
  const added = (next.metadata.finalizers ?? []).filter((name) => !before.includes(name));
  if (current.metadata.deletionTimestamp !== undefined && added.length > 0) {
    const list = added.map((name) => JSON.stringify(name)).join(', ');
    problems.push(
      forbiddenField(
        'metadata.finalizers',
        `no new finalizers can be added if the object is being deleted, found new finalizers []string{${list}}`,
      ),
    );
  }
  return problems;
}
