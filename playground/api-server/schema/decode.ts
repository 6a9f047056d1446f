import { isQuantity } from '#kube/quantity.ts';

import type { JsonObject } from '../json.ts';
import { isList, isObject } from '../json.ts';
import { matchesFormat } from './formats.ts';
import type { JsonSchema } from './json-schema.ts';

/**
 * Fits a built-in object to its schema: drops nulls, which mean "absent" there, writes quantities as
 * texts, and answers the first value that is of a wrong type, in the words of the reference's decoder.
 * `object` is changed.
 */
export function decodeTyped(schema: JsonSchema, object: JsonObject): string | undefined {
  return decodeFields(schema, object, '');
}

function decodeFields(schema: JsonSchema, object: JsonObject, path: string): string | undefined {
  const { properties = {}, additionalProperties } = schema;
  for (const field of Object.keys(object)) {
    const value = object[field];
    const isField = Object.hasOwn(properties, field);
    const inner = isField ? properties[field] : additionalProperties;
    if (typeof inner !== 'object') continue;
    if (value === null && isField && !isAnything(inner)) {
      delete object[field];
      continue;
    }
    const fieldPath = path === '' ? field : `${path}.${field}`;
    const problem = decodeValue(inner, value, { object, field, path: fieldPath, schema });
    if (problem !== undefined) return problem;
  }
  return undefined;
}

interface Position {
  /** The struct or list that holds the value, to write another one back. */
  readonly object: JsonObject | unknown[];
  readonly field: string | number;
  readonly path: string;
  /** The schema of the struct, whose name the message carries. */
  readonly schema: JsonSchema;
}

function decodeValue(schema: JsonSchema, value: unknown, position: Position): string | undefined {
  if (isAnything(schema)) return undefined;
  if (schema['x-kubernetes-int-or-string'] === true)
    return decodeIntOrString(schema, value, position);
  if (!fits(schema, value)) return mismatch(schema, value, position);
  if (typeof value === 'string') return textProblem(schema, value);
  if (isObject(value)) return decodeFields(schema, value, position.path);
  if (!isList(value) || schema.items === undefined) return undefined;
  for (const [index, item] of value.entries()) {
    const inner = { ...position, object: value, field: index };
    const problem = decodeValue(schema.items, item, inner);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function decodeIntOrString(
  schema: JsonSchema,
  value: unknown,
  position: Position,
): string | undefined {
  const isQuantityField = schema.definition?.endsWith('.Quantity') === true;
  if (typeof value === 'string') {
    return isQuantityField && !isQuantity(value) ? QUANTITY_PROBLEM : undefined;
  }
  if (typeof value !== 'number') return mismatch(schema, value, position);
  if (isQuantityField) {
    Object.assign(position.object, { [position.field]: String(value) });
    return undefined;
  }
  return Number.isInteger(value) ? undefined : mismatch(schema, value, position);
}

const QUANTITY_PROBLEM =
  "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

function textProblem({ format }: JsonSchema, value: string): string | undefined {
  if (format === undefined || matchesFormat(format, value)) return undefined;
  if (format === 'byte') {
    const wrong = value.search(/[^A-Za-z0-9+/=]/u);
    return `illegal base64 data at input byte ${wrong < 0 ? value.length : wrong}`;
  }
  return `parsing time ${JSON.stringify(value)} as "2006-01-02T15:04:05Z07:00": it is no moment in that form`;
}

function isAnything(schema: JsonSchema): boolean {
  return schema['x-kubernetes-preserve-unknown-fields'] === true && schema.type === undefined;
}

function fits(schema: JsonSchema, value: unknown): boolean {
  switch (schema.type ?? '') {
    case 'object':
      return isObject(value);
    case 'array':
      return isList(value);
    case 'string':
      return typeof value === 'string';
    case 'boolean':
      return typeof value === 'boolean';
    case 'integer':
      return Number.isInteger(value);
    case 'number':
      return typeof value === 'number';
    default:
      return true;
  }
}

/** As Go's JSON decoder words it, which is what people search for. */
function mismatch(schema: JsonSchema, value: unknown, position: Position): string {
  const struct = position.schema.definition?.split('.').at(-1) ?? '';
  return `json: cannot unmarshal ${jsonKind(value)} into Go struct field ${struct}.${position.path} of type ${goType(schema)}`;
}

function jsonKind(value: unknown): string {
  if (typeof value === 'boolean') return 'bool';
  if (typeof value === 'number') return `number${Number.isInteger(value) ? '' : ` ${value}`}`;
  if (isList(value)) return 'array';
  return typeof value === 'string' ? 'string' : 'object';
}

function goType(schema: JsonSchema): string {
  const { definition, format } = schema;
  if (definition !== undefined) {
    const [version = '', name = ''] = definition.split('.').slice(-2);
    return `${version}.${name}`;
  }
  switch (schema.type ?? '') {
    case 'array':
      return `[]${goType(schema.items ?? {})}`;
    case 'object': {
      const { additionalProperties } = schema;
      return `map[string]${typeof additionalProperties === 'object' ? goType(additionalProperties) : 'interface {}'}`;
    }
    case 'integer':
      return format ?? 'int64';
    case 'number':
      return 'float64';
    case 'boolean':
      return 'bool';
    default:
      return format === 'byte' ? '[]uint8' : 'string';
  }
}
