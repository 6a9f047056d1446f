import type { JsonObject } from '../json.ts';
import { isList, isObject } from '../json.ts';
import { objectMetaSchema } from './builtin.ts';
import type { JsonSchema } from './json-schema.ts';

/**
 * Takes the fields away that a schema does not know, and answers their paths ("spec.ports[0].nam").
 * `object` is changed. What is of another type than the schema's is left for the validation.
 */
export function pruneUnknown(schema: JsonSchema, object: JsonObject): readonly string[] {
  const unknown: string[] = [];
  pruneResource(schema, object, '', unknown);
  return unknown;
}

function prune(schema: JsonSchema, value: unknown, path: string, unknown: string[]): void {
  if (schema['x-kubernetes-embedded-resource'] === true && isObject(value)) {
    pruneResource(schema, value, `${path}.`, unknown);
  } else if (isObject(value)) {
    pruneFields(schema, value, path === '' ? '' : `${path}.`, unknown);
  } else if (isList(value) && schema.items !== undefined) {
    for (const [index, item] of value.entries()) {
      prune(schema.items, item, `${path}[${index}]`, unknown);
    }
  }
}

/** An object with a type and metadata of its own, at the top or embedded in another. */
function pruneResource(
  schema: JsonSchema,
  object: JsonObject,
  prefix: string,
  unknown: string[],
): void {
  const properties = {
    ...schema.properties,
    apiVersion: {},
    kind: {},
    metadata: objectMetaSchema(),
  };
  pruneFields({ ...schema, properties }, object, prefix, unknown);
}

function pruneFields(
  schema: JsonSchema,
  object: JsonObject,
  prefix: string,
  unknown: string[],
): void {
  const { properties = {}, additionalProperties } = schema;
  const keep =
    schema['x-kubernetes-preserve-unknown-fields'] === true || additionalProperties === true;
  for (const field of Object.keys(object)) {
    const inner = Object.hasOwn(properties, field) ? properties[field] : undefined;
    const path = `${prefix}${field}`;
    if (inner !== undefined) {
      prune(inner, object[field], path, unknown);
    } else if (isSchema(additionalProperties)) {
      prune(additionalProperties, object[field], path, unknown);
    } else if (!keep) {
      unknown.push(path);
      delete object[field];
    }
  }
}

function isSchema(schema: JsonSchema | boolean | undefined): schema is JsonSchema {
  return typeof schema === 'object';
}
