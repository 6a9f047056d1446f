import { deepEqual } from '../json.ts';
import type { ApiObject, ManagedFieldsEntry } from '../object.ts';
import type { JsonSchema } from '../schema/json-schema.ts';
import { FieldSet } from './field-set.ts';
import type { Comparison } from './typed.ts';
import { compare } from './typed.ts';

/** Who writes, as managedFields tells writers apart. */
export interface Writer {
  readonly manager: string;
  readonly operation: 'Apply' | 'Update';
  readonly apiVersion: string;
  readonly subresource: string;
}

/** One writer and the fields that are its own. */
export interface Manager {
  readonly writer: Writer;
  readonly fields: FieldSet;
  readonly time: string | undefined;
}

/** Reads metadata.managedFields; an entry in another format than FieldsV1 is forgotten. */
export function readManagers(object: ApiObject | undefined): Manager[] {
  return (object?.metadata.managedFields ?? [])
    .filter(({ fieldsType, manager }) => fieldsType === 'FieldsV1' && manager !== undefined)
    .map((entry) => ({
      writer: {
        manager: entry.manager ?? '',
        operation: entry.operation === 'Apply' ? 'Apply' : 'Update',
        apiVersion: entry.apiVersion ?? '',
        subresource: entry.subresource ?? '',
      },
      fields: FieldSet.parse(entry.fieldsV1),
      time: entry.time,
    }));
}

/** Writes metadata.managedFields; managers without fields are left out. `object` is changed. */
export function writeManagers(object: ApiObject, managers: readonly Manager[]): void {
  const entries = managers
    .filter(({ fields }) => !fields.isEmpty)
    .map(entryOf)
    .toSorted(compareEntries);
  if (entries.length === 0) delete object.metadata.managedFields;
  else object.metadata.managedFields = entries;
}

/**
 * Gives a writer what an update has added or changed, and takes that, and what has gone, from all
 * others. `before` is undefined for a new object; `after` gets the result.
 */
export function trackUpdate(
  before: ApiObject | undefined,
  after: ApiObject,
  schema: JsonSchema,
  { writer, time }: { readonly writer: Writer; readonly time: string },
): void {
  const changes = compare(tracked(before), tracked(after), schema);
  const changed = changes.added.union(changes.modified);
  const managers = readManagers(before).map((manager) => {
    const isWriter = deepEqual(manager.writer, writer);
    const lost = isWriter ? changes.removed : changed.union(changes.removed);
    const fields = manager.fields.difference(lost);
    return { ...manager, fields: isWriter ? fields.union(changed) : fields };
  });
  if (!managers.some((manager) => deepEqual(manager.writer, writer))) {
    managers.push({ writer, fields: changed, time: undefined });
  }
  writeManagers(after, stamped(managers, readManagers(before), time));
}

/** The managers, with the time of now for those whose fields differ from what they were. */
export function stamped(
  managers: readonly Manager[],
  before: readonly Manager[],
  time: string,
): readonly Manager[] {
  return managers.map((manager) => {
    const former = before.find(({ writer }) => deepEqual(writer, manager.writer));
    const same = former?.fields.equals(manager.fields) === true;
    return { ...manager, time: same ? former.time : time };
  });
}

// What nobody manages: it says which object this is, or the server decides it.
const UNTRACKED_METADATA = new Set([
  'name',
  'namespace',
  'uid',
  'resourceVersion',
  'generation',
  'creationTimestamp',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
  'managedFields',
  'selfLink',
]);

/** What of an object is managed. */
export function tracked(object: ApiObject | undefined): Record<string, unknown> {
  if (object === undefined) return { metadata: {} };
  const { apiVersion: _version, kind: _kind, metadata, ...rest } = object;
  const kept = Object.entries(metadata).filter(([field]) => !UNTRACKED_METADATA.has(field));
  return { ...rest, metadata: Object.fromEntries(kept) };
}

/** What somebody else's fields lose by a change that takes them over. */
export function lostFields(fields: FieldSet, changes: Comparison): FieldSet {
  return fields.intersection(changes.modified.union(changes.added));
}

function entryOf({ writer, fields, time }: Manager): ManagedFieldsEntry {
  return {
    manager: writer.manager,
    operation: writer.operation,
    apiVersion: writer.apiVersion,
    ...(time === undefined ? {} : { time }),
    fieldsType: 'FieldsV1',
    fieldsV1: fields.toFields(),
    ...(writer.subresource === '' ? {} : { subresource: writer.subresource }),
  };
}

function compareEntries(left: ManagedFieldsEntry, right: ManagedFieldsEntry): number {
  for (const field of ['operation', 'time', 'manager', 'apiVersion', 'subresource'] as const) {
    const a = left[field] ?? '';
    const b = right[field] ?? '';
    if (a !== b) return a < b ? -1 : 1;
  }
  return 0;
}
