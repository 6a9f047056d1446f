import { isList, isObject } from '../json.ts';
import { objectMetaSchema } from '../schema/builtin.ts';
import type { JsonSchema } from '../schema/json-schema.ts';
import { readableElement } from './field-set.ts';
import { elementOf, isAssociative, MissingKeyError } from './typed.ts';

/**
 * Why an applied configuration cannot be told apart into fields: the first one that its schema does not
 * know (`.spec.containers[name="a"].imag: …`), or the first key that two items of a list share.
 */
export function undeclaredProblem(schema: JsonSchema, config: unknown): string | undefined {
  return inResource(schema, config, '');
}

function inResource(schema: JsonSchema, value: unknown, path: string): string | undefined {
  const properties = {
    ...schema.properties,
    apiVersion: {},
    kind: {},
    metadata: objectMetaSchema(),
  };
  return inFields({ ...schema, properties }, value, path);
}

function inValue(schema: JsonSchema, value: unknown, path: string): string | undefined {
  if (schema['x-kubernetes-embedded-resource'] === true) return inResource(schema, value, path);
  if (isObject(value)) return inFields(schema, value, path);
  return isList(value) && schema.items !== undefined
    ? inItems(schema, schema.items, value, path)
    : undefined;
}

function inFields(schema: JsonSchema, value: unknown, path: string): string | undefined {
  if (!isObject(value)) return undefined;
  const { properties = {}, additionalProperties } = schema;
  const keep =
    schema['x-kubernetes-preserve-unknown-fields'] === true || additionalProperties === true;
  for (const field of Object.keys(value)) {
    const named = Object.hasOwn(properties, field) ? properties[field] : undefined;
    const inner = named ?? additionalProperties;
    const here = `${path}.${field}`;
    if (typeof inner === 'object') {
      const problem = inValue(inner, value[field], here);
      if (problem !== undefined) return problem;
    } else if (!keep) return `${here}: field not declared in schema`;
  }
  return undefined;
}

function inItems(
  schema: JsonSchema,
  items: JsonSchema,
  list: readonly unknown[],
  path: string,
): string | undefined {
  const known = new Set<string>();
  for (const [index, item] of list.entries()) {
    const key = isAssociative(schema) ? keyOf(item, schema) : undefined;
    const here = key ?? `[${index}]`;
    if (key !== undefined && known.has(key)) return `${path}: duplicate entries for key ${key}`;
    known.add(here);
    const problem = inValue(items, item, `${path}${here}`);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

/** Undefined for an item without its key, which is refused elsewhere. */
function keyOf(item: unknown, schema: JsonSchema): string | undefined {
  try {
    return readableElement(elementOf(item, schema));
  } catch (error) {
    if (error instanceof MissingKeyError) return undefined;
    throw error;
  }
}
