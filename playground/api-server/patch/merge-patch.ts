import type { JsonObject } from '../json.ts';
import { isObject, own } from '../json.ts';

/** Applies a JSON merge patch (RFC 7386, section 2). Neither argument is changed. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const result: JsonObject = isObject(target) ? { ...target } : {};
  for (const field of Object.keys(patch)) {
    const value = patch[field];
    if (value === null) delete result[field];
    else result[field] = mergePatch(own(target, field), value);
  }
  return result;
}
