import { deepCopy, isList, isObject, own } from '../json.ts';
import type { JsonSchema } from './json-schema.ts';

/**
 * Fills in the defaults of a schema; a null that the schema does not allow counts as absent where
 * there is a default. `value` is changed.
 */
export function applyDefaults(schema: JsonSchema, value: unknown): void {
  if (isList(value)) {
    for (const item of value) if (schema.items !== undefined) applyDefaults(schema.items, item);
    return;
  }
  if (!isObject(value)) return;
  const { properties = {}, additionalProperties } = schema;
  for (const field of Object.keys(properties)) {
    const inner = properties[field];
    if (inner === undefined) continue;
    const given = own(value, field);
    const missing = given === undefined || (given === null && inner.nullable !== true);
    if (missing && inner.default !== undefined) value[field] = deepCopy(inner.default);
    applyDefaults(inner, own(value, field));
  }
  if (typeof additionalProperties !== 'object') return;
  for (const field of Object.keys(value)) {
    if (!Object.hasOwn(properties, field)) applyDefaults(additionalProperties, value[field]);
  }
}
