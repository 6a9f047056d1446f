/** A JSON object whose fields are not known beforehand. */
export interface JsonObject {
  [field: string]: unknown;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function isList(value: unknown): value is unknown[] {
  return Array.isArray(value);
}

/** A field of an object; undefined when absent, also for names such as "constructor". */
export function own(object: unknown, field: string): unknown {
  return isObject(object) && Object.hasOwn(object, field) ? object[field] : undefined;
}

/** The value at a path of field names; undefined as soon as one is absent. */
export function at(object: unknown, ...path: readonly string[]): unknown {
  let value = object;
  for (const field of path) value = own(value, field);
  return value;
}

/** The text at a path of field names; '' when there is none. */
export function textAt(object: unknown, ...path: readonly string[]): string {
  const value = at(object, ...path);
  return typeof value === 'string' ? value : '';
}

/** The objects in the list at a path of field names; anything else that is there is left out. */
export function objectsAt(object: unknown, ...path: readonly string[]): JsonObject[] {
  const value = at(object, ...path);
  return isList(value) ? value.filter(isObject) : [];
}

/** The object in a field, put there first if there is none. */
export function ensureObject(object: JsonObject, field: string): JsonObject {
  const value = own(object, field);
  if (isObject(value)) return value;
  const created: JsonObject = {};
  object[field] = created;
  return created;
}

/** A copy that shares nothing with the original. */
export function deepCopy<T>(value: T): T;
export function deepCopy(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(deepCopy);
  if (!isObject(value)) return value;
  const copy: JsonObject = {};
  for (const field of Object.keys(value)) copy[field] = deepCopy(value[field]);
  return copy;
}

/** Whether two JSON values say the same; the order of fields does not count. */
export function deepEqual(left: unknown, right: unknown): boolean {
  if (left === right) return true;
  if (Array.isArray(left)) {
    return (
      Array.isArray(right) &&
      left.length === right.length &&
      left.every((item, index) => deepEqual(item, right[index]))
    );
  }
  if (!isObject(left) || !isObject(right)) return false;
  const fields = Object.keys(left);
  return (
    fields.length === Object.keys(right).length &&
    fields.every((field) => Object.hasOwn(right, field) && deepEqual(left[field], right[field]))
  );
}

/**
 * `next`, with every part that equals the same part of `before` replaced by that part, so that the
 * versions of an object hold what they have in common only once. `before` itself if all is equal.
 */
export function shareWith<T>(next: T, before: unknown): T;
export function shareWith(next: unknown, before: unknown): unknown {
  if (next === before) return before;
  if (Array.isArray(next)) return Array.isArray(before) ? shareList(next, before) : next;
  if (!isObject(next) || !isObject(before)) return next;
  const fields = Object.keys(next);
  let same = fields.length === Object.keys(before).length;
  for (const field of fields) {
    const shared = shareWith(next[field], own(before, field));
    next[field] = shared;
    same &&= Object.hasOwn(before, field) && shared === before[field];
  }
  return same ? before : next;
}

function shareList(next: unknown[], before: readonly unknown[]): unknown {
  let same = next.length === before.length;
  for (const [index, item] of next.entries()) {
    next[index] = shareWith(item, before[index]);
    same &&= next[index] === before[index];
  }
  return same ? before : next;
}
