import type { JsonObject } from '../json.ts';
import { deepEqual, isList, isObject, own } from '../json.ts';
import type { JsonSchema } from '../schema/json-schema.ts';
import { FieldSet } from './field-set.ts';
import { interleave } from './interleave.ts';

// How server-side apply sees values: what of them is one field, and which items of two lists are the
// same. After the reference's structured merges: objects are granular and lists are atomic unless
// their schema says otherwise.

/** An item of a list that merges by keys lacks one of them. */
export class MissingKeyError extends Error {
  override readonly name = 'MissingKeyError';
}

/** All fields that a value sets. */
export function fieldsOf(value: unknown, schema: JsonSchema): FieldSet {
  const set = new FieldSet();
  collect(value, schema, set);
  return set;
}

export interface Comparison {
  readonly added: FieldSet;
  readonly removed: FieldSet;
  readonly modified: FieldSet;
}

/** How `after` differs from `before`; undefined stands for "not there". */
export function compare(before: unknown, after: unknown, schema: JsonSchema): Comparison {
  const comparison = { added: new FieldSet(), removed: new FieldSet(), modified: new FieldSet() };
  compareInto(before, after, schema, comparison);
  return comparison;
}

/** `live` with everything that `applied` says. Neither is changed. */
export function merge(live: unknown, applied: unknown, schema: JsonSchema): unknown {
  if (isObject(applied) && isGranular(schema)) {
    const result: JsonObject = isObject(live) ? { ...live } : {};
    for (const field of Object.keys(applied)) {
      result[field] = merge(own(live, field), applied[field], fieldSchema(schema, field));
    }
    return result;
  }
  if (isList(applied) && isAssociative(schema)) {
    return mergeLists(isList(live) ? live : [], applied, schema);
  }
  return applied;
}

/** A value without the members of a set; what becomes empty by that goes, too. */
export function remove(value: unknown, fields: FieldSet, schema: JsonSchema): unknown {
  if (isObject(value) && isGranular(schema)) {
    const result: JsonObject = {};
    for (const field of Object.keys(value)) {
      const below = fields.find(`f:${field}`);
      if (below?.isMember === true) continue;
      const kept =
        below === undefined
          ? value[field]
          : remove(value[field], below, fieldSchema(schema, field));
      if (kept !== undefined) result[field] = kept;
    }
    return Object.keys(result).length === 0 && Object.keys(value).length > 0 ? undefined : result;
  }
  if (isList(value) && isAssociative(schema)) {
    const result: unknown[] = [];
    for (const [element, item] of elementsOf(value, schema)) {
      const below = fields.find(element);
      if (below?.isMember === true) continue;
      const kept = below === undefined ? item : remove(item, below, schema.items ?? {});
      if (kept !== undefined) result.push(kept);
    }
    return result.length === 0 && value.length > 0 ? undefined : result;
  }
  return value;
}

function collect(value: unknown, schema: JsonSchema, set: FieldSet): void {
  if (isObject(value) && isGranular(schema)) {
    for (const field of Object.keys(value)) {
      const child = set.child(`f:${field}`);
      const inner = value[field];
      collect(inner, fieldSchema(schema, field), child);
      const isEmpty = inner === null || (isObject(inner) && Object.keys(inner).length === 0);
      // Entries of a map are members themselves; fields that a schema names are so by their content.
      if (isEmpty || !isNamed(schema, field)) child.isMember = true;
      if (child.isEmpty) set.delete(`f:${field}`);
    }
  } else if (isList(value) && isAssociative(schema)) {
    for (const [element, item] of elementsOf(value, schema)) {
      const child = set.child(element);
      child.isMember = true;
      if (schema['x-kubernetes-list-type'] === 'map') collect(item, schema.items ?? {}, child);
    }
  } else {
    set.isMember = true;
  }
}

interface MutableComparison {
  readonly added: FieldSet;
  readonly removed: FieldSet;
  readonly modified: FieldSet;
}

function compareInto(
  before: unknown,
  after: unknown,
  schema: JsonSchema,
  into: MutableComparison,
): void {
  if (!hasParts(before, schema) && !hasParts(after, schema)) {
    compareLeaf(before, after, into);
    return;
  }
  const left = partsOf(before, schema);
  const right = partsOf(after, schema);
  for (const element of new Set([...left.keys(), ...right.keys()])) {
    const child = {
      added: into.added.child(element),
      removed: into.removed.child(element),
      modified: into.modified.child(element),
    };
    compareInto(left.get(element), right.get(element), partSchema(schema, element), child);
    for (const set of [into.added, into.removed, into.modified]) {
      if (set.find(element)?.isEmpty === true) set.delete(element);
    }
  }
  // What comes or goes as a whole is itself among the fields that come or go.
  if (before === undefined) into.added.isMember = true;
  else if (after === undefined) into.removed.isMember = true;
  else if (!hasParts(before, schema) && !isEmptyOrNull(before)) into.modified.isMember = true;
  else if (!hasParts(after, schema) && !isEmptyOrNull(after)) into.modified.isMember = true;
}

function compareLeaf(before: unknown, after: unknown, into: MutableComparison): void {
  if (before === undefined) into.added.isMember = true;
  else if (after === undefined) into.removed.isMember = true;
  else if (!deepEqual(before, after)) into.modified.isMember = true;
}

function hasParts(value: unknown, schema: JsonSchema): boolean {
  if (isObject(value)) return isGranular(schema) && Object.keys(value).length > 0;
  return isList(value) && isAssociative(schema) && value.length > 0;
}

function isEmptyOrNull(value: unknown): boolean {
  return value === null || (typeof value === 'object' && Object.keys(value).length === 0);
}

function partsOf(value: unknown, schema: JsonSchema): ReadonlyMap<string, unknown> {
  if (isObject(value) && isGranular(schema)) {
    return new Map(Object.keys(value).map((field) => [`f:${field}`, value[field]]));
  }
  return new Map(isList(value) && isAssociative(schema) ? elementsOf(value, schema) : []);
}

function partSchema(schema: JsonSchema, element: string): JsonSchema {
  return element.startsWith('f:') ? fieldSchema(schema, element.slice(2)) : (schema.items ?? {});
}

/** The items of a list with their path elements; of items that are the same, the first. */
function elementsOf(list: readonly unknown[], schema: JsonSchema): [string, unknown][] {
  const elements = new Map<string, unknown>();
  for (const item of list) {
    const element = elementOf(item, schema);
    if (!elements.has(element)) elements.set(element, item);
  }
  return [...elements];
}

/** The path element of an item of a list that merges. @throws MissingKeyError */
export function elementOf(item: unknown, schema: JsonSchema): string {
  if (schema['x-kubernetes-list-type'] === 'set') return `v:${JSON.stringify(item)}`;
  const keys: JsonObject = {};
  for (const key of [...(schema['x-kubernetes-list-map-keys'] ?? [])].toSorted()) {
    const value = own(item, key) ?? schema.items?.properties?.[key]?.default;
    if (value === undefined) {
      throw new MissingKeyError(
        `associative list with keys has an element that omits key field ${JSON.stringify(key)} (and doesn't have default value)`,
      );
    }
    keys[key] = value;
  }
  return `k:${JSON.stringify(keys)}`;
}

/** The applied items in their order; those that only the live list has keep their places among them. */
function mergeLists(
  live: readonly unknown[],
  applied: readonly unknown[],
  schema: JsonSchema,
): unknown[] {
  const before = elementsOf(live, schema);
  const places = new Map(before.map(([element], index) => [element, index]));
  const wanted = elementsOf(applied, schema);
  const known = new Set(wanted.map(([element]) => element));
  const others = before.filter(([element]) => !known.has(element));
  const placeOf = ([element]: [string, unknown]): number => places.get(element) ?? -1;
  const merged = wanted.map(([element, item]): [string, unknown] => {
    const former = before[places.get(element) ?? -1]?.[1];
    return [element, merge(former, item, schema.items ?? {})];
  });
  return interleave(merged, others, placeOf).map(([, item]) => item);
}

function isGranular(schema: JsonSchema): boolean {
  return schema['x-kubernetes-map-type'] !== 'atomic';
}

/** Whether a list merges item by item. */
export function isAssociative(schema: JsonSchema): boolean {
  const listType = schema['x-kubernetes-list-type'];
  return listType === 'map' || listType === 'set';
}

function isNamed(schema: JsonSchema, field: string): boolean {
  return Object.hasOwn(schema.properties ?? {}, field);
}

function fieldSchema(schema: JsonSchema, field: string): JsonSchema {
  const { properties = {}, additionalProperties } = schema;
  const inner = Object.hasOwn(properties, field) ? properties[field] : additionalProperties;
  return typeof inner === 'object' ? inner : {};
}
