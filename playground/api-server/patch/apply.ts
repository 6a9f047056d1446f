import type { ApiError } from '../errors.ts';
import { applyConflict } from '../errors.ts';
import { deepEqual, isObject } from '../json.ts';
import type { ApiObject } from '../object.ts';
import type { JsonSchema } from '../schema/json-schema.ts';
import { FieldSet } from './field-set.ts';
import type { Manager, Writer } from './managed-fields.ts';
import { lostFields, readManagers, stamped, tracked, writeManagers } from './managed-fields.ts';
import { compare, fieldsOf, merge, remove } from './typed.ts';

export interface ApplyRequest {
  readonly writer: Writer;
  /** Take fields over whose values differ, instead of refusing. */
  readonly force: boolean;
  readonly time: string;
}

/** What an apply makes of an object, or the fields of others that it would change. */
export type ApplyResult =
  | { readonly kind: 'applied'; readonly object: ApiObject }
  | { readonly kind: 'conflict'; readonly error: ApiError };

/**
 * Server-side apply: `live` gets what `config` says; what its writer applied before and says no more
 * goes, unless others have it, too. `live` is undefined for a new object. Neither is changed.
 */
export function applyConfig(
  live: ApiObject | undefined,
  config: ApiObject,
  schema: JsonSchema,
  request: ApplyRequest,
): ApplyResult {
  const before = readManagers(live);
  const own = before.find(({ writer }) => deepEqual(writer, request.writer));
  const fields = appliedFields(config, schema);
  const others = before.filter((manager) => manager !== own);
  const merged = merge(live ?? {}, withoutServerFields(config), schema);
  const dropped = droppedFields(own?.fields ?? new FieldSet(), [fields, ...fieldSets(others)]);
  const object = asObject(remove(merged, dropped, schema), config);
  const changes = compare(tracked(live), tracked(object), schema);
  const lost = others.map((manager) => lostFields(manager.fields, changes));
  if (!request.force && lost.some((set) => !set.isEmpty)) {
    return { kind: 'conflict', error: conflictOf(others, lost) };
  }
  const managers: Manager[] = others.map((manager, index) => ({
    ...manager,
    fields: manager.fields.difference(lost[index] ?? new FieldSet()).difference(changes.removed),
  }));
  managers.push({ writer: request.writer, fields, time: undefined });
  writeManagers(object, stamped(managers, before, request.time));
  return { kind: 'applied', object };
}

/** The metadata as a whole is nobody's. */
function appliedFields(config: ApiObject, schema: JsonSchema): FieldSet {
  const fields = fieldsOf(tracked(config), schema);
  const metadata = fields.find('f:metadata');
  if (metadata !== undefined) metadata.isMember = false;
  if (metadata?.isEmpty === true) fields.delete('f:metadata');
  return fields;
}

function fieldSets(managers: readonly Manager[]): FieldSet[] {
  return managers.map((manager) => manager.fields);
}

/** The fields of the last apply that nobody has any more: also not by having something below them. */
function droppedFields(last: FieldSet, kept: readonly FieldSet[]): FieldSet {
  const dropped = new FieldSet();
  dropped.isMember = last.isMember && kept.every((set) => set.isEmpty);
  for (const [element, child] of last.entries()) {
    const below = kept.flatMap((set) => set.find(element) ?? []);
    const inner = droppedFields(child, below);
    if (inner.isEmpty) continue;
    dropped.child(element).isMember = inner.isMember;
    for (const [name, set] of inner.entries()) adopt(dropped.child(element), name, set);
  }
  return dropped;
}

function adopt(into: FieldSet, element: string, set: FieldSet): void {
  const child = into.child(element);
  child.isMember = set.isMember;
  for (const [name, inner] of set.entries()) adopt(child, name, inner);
}

/** What an applied configuration may say and does not decide. */
function withoutServerFields(config: ApiObject): ApiObject {
  const { managedFields: _fields, creationTimestamp: _created, ...metadata } = config.metadata;
  return { ...config, metadata };
}

function asObject(value: unknown, config: ApiObject): ApiObject {
  const object = isObject(value) ? value : {};
  const metadata = isObject(object['metadata']) ? { ...object['metadata'] } : {};
  return { ...object, apiVersion: config.apiVersion, kind: config.kind, metadata };
}

function conflictOf(others: readonly Manager[], lost: readonly FieldSet[]): ApiError {
  const conflicts = others.flatMap((manager, index) =>
    (lost[index]?.paths() ?? []).map((path) => ({ who: describe(manager), path })),
  );
  const causes = conflicts.map(({ who, path }) => ({
    reason: 'FieldManagerConflict',
    message: `conflict with ${who}`,
    field: path,
  }));
  const [first] = conflicts;
  if (conflicts.length === 1 && first !== undefined) {
    const message = `Apply failed with 1 conflict: conflict with ${first.who}: ${first.path}`;
    return applyConflict(message, causes);
  }
  const lines: string[] = [];
  for (const who of [...new Set(conflicts.map((each) => each.who))].toSorted()) {
    lines.push(`conflicts with ${who}:`);
    for (const each of conflicts) if (each.who === who) lines.push(`- ${each.path}`);
  }
  const message = `Apply failed with ${conflicts.length} conflicts: ${lines.join('\n')}`;
  return applyConflict(message, causes);
}

function describe({ writer, time }: Manager): string {
  const { manager, subresource, operation, apiVersion } = writer;
  const name = JSON.stringify(manager);
  const subject =
    subresource === '' ? name : `${name} with subresource ${JSON.stringify(subresource)}`;
  if (operation === 'Apply') return subject;
  return time === undefined
    ? `${subject} using ${apiVersion}`
    : `${subject} using ${apiVersion} at ${time}`;
}
