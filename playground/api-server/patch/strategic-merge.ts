import type { JsonObject } from '../json.ts';
import { deepCopy, deepEqual, isList, isObject, own } from '../json.ts';
import type { JsonSchema } from '../schema/json-schema.ts';
import { interleave } from './interleave.ts';

/** A patched object, or why the patch cannot be applied. */
export type StrategicMergeResult =
  | { readonly kind: 'patched'; readonly value: JsonObject }
  | { readonly kind: 'malformed'; readonly message: string };

/**
 * Applies a strategic merge patch: like a merge patch, but lists whose schema names a merge key are
 * merged item by item, and directives ("$patch", "$setElementOrder/…", "$deleteFromPrimitiveList/…",
 * "$retainKeys") say what else is meant. Neither object is changed.
 */
export function strategicMerge(
  original: JsonObject,
  patch: JsonObject,
  schema: JsonSchema,
): StrategicMergeResult {
  try {
    return { kind: 'patched', value: mergeObject(original, patch, schema) };
  } catch (error) {
    if (error instanceof MalformedPatch) return { kind: 'malformed', message: error.message };
    throw error;
  }
}

class MalformedPatch extends Error {}

const DIRECTIVE = '$patch';
const RETAIN_KEYS = '$retainKeys';
const SET_ORDER = '$setElementOrder/';
const DELETE_PRIMITIVES = '$deleteFromPrimitiveList/';

function mergeObject(original: JsonObject, patch: JsonObject, schema: JsonSchema): JsonObject {
  const directive = own(patch, DIRECTIVE);
  if (directive === 'delete') return {};
  if (directive !== undefined && directive !== 'replace' && directive !== 'merge') {
    throw new MalformedPatch(`Unknown patch type found: ${JSON.stringify(directive)}`);
  }
  const result = directive === 'replace' ? {} : retained(original, patch);
  for (const field of Object.keys(patch)) {
    if (field.startsWith('$')) continue;
    const value = patch[field];
    if (value === null) delete result[field];
    else result[field] = mergeField(own(result, field), value, { schema, field, patch });
  }
  for (const field of Object.keys(patch)) {
    if (field.startsWith(DELETE_PRIMITIVES)) deletePrimitives(result, field, patch[field]);
  }
  for (const field of Object.keys(patch)) {
    if (field.startsWith(SET_ORDER)) setOrder(result, original, { schema, field, patch });
  }
  return result;
}

interface FieldContext {
  /** Of the object that has the field. */
  readonly schema: JsonSchema;
  readonly field: string;
  readonly patch: JsonObject;
}

function mergeField(original: unknown, value: unknown, context: FieldContext): unknown {
  const schema = schemaOf(context.schema, context.field);
  if (isObject(value)) {
    return mergeObject(isObject(original) ? original : {}, value, schema);
  }
  if (!isList(value)) return value;
  const before = isList(original) ? original : [];
  if (!hasStrategy(schema, 'merge')) return value.map((item) => withoutDirectives(item, schema));
  const key = schema['x-kubernetes-patch-merge-key'];
  return key === undefined ? union(before, value) : mergeItems(before, value, { schema, key });
}

interface ListContext {
  readonly schema: JsonSchema;
  readonly key: string;
}

function mergeItems(
  original: readonly unknown[],
  patch: readonly unknown[],
  { schema, key }: ListContext,
): unknown[] {
  const replaces = patch.some(
    (item) => own(item, DIRECTIVE) === 'replace' && own(item, key) === undefined,
  );
  const result = replaces ? [] : [...original];
  const itemSchema = schema.items ?? {};
  for (const item of patch) {
    if (!isObject(item))
      throw new MalformedPatch('a list of objects is patched by a list of objects');
    const directive = own(item, DIRECTIVE);
    const identity = own(item, key);
    if (identity === undefined && directive === 'replace') continue;
    if (identity === undefined) {
      throw new MalformedPatch(
        `map: ${JSON.stringify(item)} does not contain declared merge key: ${key}`,
      );
    }
    const index = result.findIndex((known) => deepEqual(own(known, key), identity));
    const before = result[index];
    if (directive === 'delete') {
      for (let at = result.length - 1; at >= 0; at -= 1) {
        if (deepEqual(own(result[at], key), identity)) result.splice(at, 1);
      }
    } else if (isObject(before)) {
      result[index] = mergeObject(before, item, itemSchema);
    } else {
      result.push(mergeObject({}, item, itemSchema));
    }
  }
  return result;
}

function union(original: readonly unknown[], added: readonly unknown[]): unknown[] {
  const result = [...original];
  for (const item of added) if (!result.includes(item)) result.push(item);
  return result;
}

function retained(original: JsonObject, patch: JsonObject): JsonObject {
  const keep = own(patch, RETAIN_KEYS);
  if (!isList(keep)) return { ...original };
  return Object.fromEntries(Object.entries(original).filter(([field]) => keep.includes(field)));
}

function deletePrimitives(result: JsonObject, directive: string, values: unknown): void {
  const field = directive.slice(DELETE_PRIMITIVES.length);
  const list = own(result, field);
  if (!isList(values)) throw new MalformedPatch(`${directive} has to be a list`);
  if (isList(list)) result[field] = list.filter((item) => !values.includes(item));
}

/** Puts the items that the patch's maker knows of in its order; others stay where they were among them. */
function setOrder(result: JsonObject, original: JsonObject, context: FieldContext): void {
  const field = context.field.slice(SET_ORDER.length);
  const order = context.patch[context.field];
  const list = own(result, field);
  if (!isList(order)) throw new MalformedPatch(`${context.field} has to be a list`);
  if (!isList(list)) return;
  const key = schemaOf(context.schema, field)['x-kubernetes-patch-merge-key'];
  const identity = (item: unknown): string =>
    JSON.stringify(key === undefined ? item : own(item, key));
  const wanted = order.map(identity);
  const former = own(original, field);
  const before = isList(former) ? former.map(identity) : [];
  const ordered = list
    .filter((item) => wanted.includes(identity(item)))
    .toSorted((left, right) => wanted.indexOf(identity(left)) - wanted.indexOf(identity(right)));
  const others = list.filter((item) => !wanted.includes(identity(item)));
  result[field] = interleave(ordered, others, (item) => before.indexOf(identity(item)));
}

/** A value that replaces what was there: directives within it have had their say. */
function withoutDirectives(value: unknown, schema: JsonSchema): unknown {
  return isObject(value) ? mergeObject({}, value, schema.items ?? {}) : deepCopy(value);
}

function schemaOf(schema: JsonSchema, field: string): JsonSchema {
  const { properties = {}, additionalProperties } = schema;
  const inner = Object.hasOwn(properties, field) ? properties[field] : additionalProperties;
  return typeof inner === 'object' ? inner : {};
}

function hasStrategy(schema: JsonSchema, strategy: string): boolean {
  return schema['x-kubernetes-patch-strategy']?.split(',').includes(strategy) ?? false;
}
