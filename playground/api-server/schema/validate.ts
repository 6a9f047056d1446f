import type { FieldProblem } from '../errors.ts';
import {
  duplicateValue,
  invalidValue,
  requiredValue,
  tooLong,
  tooMany,
  unsupportedValue,
  wrongType,
} from '../errors.ts';
import { deepEqual, isList, isObject } from '../json.ts';
import { matchesFormat } from './formats.ts';
import type { JsonSchema } from './json-schema.ts';
import { regularExpression } from './pattern.ts';

// What is wrong beyond this is not told: nobody reads on, and the answer stays small.
const PROBLEMS_MAX = 100;

/** What of a value does not fit its schema, in the words of the reference. */
export function validate(schema: JsonSchema, value: unknown, path = ''): readonly FieldProblem[] {
  const problems: FieldProblem[] = [];
  check(schema, value, path, problems);
  return problems.slice(0, PROBLEMS_MAX);
}

type Problems = FieldProblem[];

function check(schema: JsonSchema, value: unknown, path: string, problems: Problems): void {
  if (value === null && schema.nullable === true) return;
  const problem = typeProblem(schema, value, path);
  if (problem !== undefined) {
    problems.push(problem);
    return;
  }
  if (schema.enum !== undefined && !schema.enum.some((allowed) => deepEqual(allowed, value))) {
    problems.push(unsupportedValue(path, value, schema.enum));
  }
  if (typeof value === 'string') checkText(schema, value, path, problems);
  else if (typeof value === 'number') checkNumber(schema, value, path, problems);
  else if (isList(value)) checkList(schema, value, path, problems);
  else if (isObject(value)) checkFields(schema, value, path, problems);
  checkAlternatives(schema, value, path, problems);
}

function typeProblem(schema: JsonSchema, value: unknown, path: string): FieldProblem | undefined {
  if (schema['x-kubernetes-int-or-string'] === true) {
    if (typeof value === 'string' || Number.isInteger(value)) return undefined;
    return wrongType(
      path,
      shown(value),
      `${path} in body must be of type integer,string: ${quote(shown(value))}`,
    );
  }
  if (schema.type === undefined || isOfType(schema.type, value)) return undefined;
  const detail = `${path} in body must be of type ${schema.type}: ${quote(shown(value))}`;
  return wrongType(path, shown(value), detail);
}

/** The reference names the type of a value that has the wrong one, as its own words for types. */
function shown(value: unknown): string {
  if (value === null) return 'null';
  if (isList(value)) return 'array';
  if (isObject(value)) return 'object';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number';
  return typeof value;
}

function quote(text: string): string {
  return JSON.stringify(text);
}

function isOfType(type: string, value: unknown): boolean {
  switch (type) {
    case 'object':
      return isObject(value);
    case 'array':
      return isList(value);
    case 'integer':
      return Number.isInteger(value);
    case 'number':
      return typeof value === 'number';
    default:
      return typeof value === type;
  }
}

function checkText(schema: JsonSchema, value: string, path: string, problems: Problems): void {
  const { maxLength, minLength, pattern, format } = schema;
  const length = maxLength === undefined && minLength === undefined ? 0 : Array.from(value).length;
  if (maxLength !== undefined && length > maxLength) problems.push(tooLong(path, maxLength));
  if (minLength !== undefined && length < minLength) {
    problems.push(
      invalidValue(path, value, `${path} in body should be at least ${minLength} chars long`),
    );
  }
  if (pattern !== undefined && regularExpression(pattern)?.test(value) === false) {
    problems.push(invalidValue(path, value, `${path} in body should match '${pattern}'`));
  }
  if (format !== undefined && !matchesFormat(format, value)) {
    problems.push(
      invalidValue(path, value, `${path} in body must be of type ${format}: ${quote(value)}`),
    );
  }
}

function checkNumber(schema: JsonSchema, value: number, path: string, problems: Problems): void {
  const { minimum, maximum, multipleOf } = schema;
  const refuse = (what: string): void => {
    problems.push(invalidValue(path, value, `${path} in body should be ${what}`));
  };
  if (minimum !== undefined && schema.exclusiveMinimum === true && value <= minimum) {
    refuse(`greater than ${minimum}`);
  } else if (minimum !== undefined && value < minimum) {
    refuse(`greater than or equal to ${minimum}`);
  }
  if (maximum !== undefined && schema.exclusiveMaximum === true && value >= maximum) {
    refuse(`less than ${maximum}`);
  } else if (maximum !== undefined && value > maximum) {
    refuse(`less than or equal to ${maximum}`);
  }
  if (multipleOf !== undefined && value % multipleOf !== 0) refuse(`a multiple of ${multipleOf}`);
}

function checkList(
  schema: JsonSchema,
  list: readonly unknown[],
  path: string,
  problems: Problems,
): void {
  const { minItems, maxItems, items } = schema;
  if (maxItems !== undefined && list.length > maxItems) {
    problems.push(tooMany(path, list.length, maxItems));
    return;
  }
  if (minItems !== undefined && list.length < minItems) {
    problems.push(
      invalidValue(path, list.length, `${path} in body should have at least ${minItems} items`),
    );
  }
  if (items !== undefined) {
    for (const [index, item] of list.entries()) check(items, item, `${path}[${index}]`, problems);
  }
  checkUnique(schema, list, path, problems);
}

function checkUnique(
  schema: JsonSchema,
  list: readonly unknown[],
  path: string,
  problems: Problems,
): void {
  const listType = schema['x-kubernetes-list-type'];
  if (listType !== 'set' && listType !== 'map' && schema.uniqueItems !== true) return;
  const seen = new Set<string>();
  for (const [index, item] of list.entries()) {
    const identity = listType === 'map' ? mapKeys(schema, item) : item;
    const text = JSON.stringify(identity);
    if (seen.has(text)) problems.push(duplicateValue(`${path}[${index}]`, identity));
    seen.add(text);
  }
}

/** The fields that identify an item of a list of kind map, absent ones with their defaults. */
function mapKeys(schema: JsonSchema, item: unknown): unknown {
  const keys: Record<string, unknown> = {};
  for (const key of schema['x-kubernetes-list-map-keys'] ?? []) {
    const value = isObject(item) ? item[key] : undefined;
    keys[key] = value ?? schema.items?.properties?.[key]?.default;
  }
  return keys;
}

function checkFields(
  schema: JsonSchema,
  object: Readonly<Record<string, unknown>>,
  path: string,
  problems: Problems,
): void {
  const { properties = {}, additionalProperties, minProperties, maxProperties } = schema;
  const at = (field: string): string => (path === '' ? field : `${path}.${field}`);
  const fields = Object.keys(object);
  for (const field of schema.required ?? []) {
    if (!Object.hasOwn(object, field)) problems.push(requiredValue(at(field)));
  }
  if (maxProperties !== undefined && fields.length > maxProperties) {
    problems.push(tooMany(path, fields.length, maxProperties));
  }
  if (minProperties !== undefined && fields.length < minProperties) {
    problems.push(
      invalidValue(
        path,
        fields.length,
        `${path} in body should have at least ${minProperties} properties`,
      ),
    );
  }
  for (const field of fields) {
    const inner = Object.hasOwn(properties, field) ? properties[field] : additionalProperties;
    if (typeof inner !== 'object') continue;
    const isField = Object.hasOwn(properties, field);
    // Keys of maps come from outside and may hold dots: the reference writes them in brackets.
    check(inner, object[field], isField || path === '' ? at(field) : `${path}.${field}`, problems);
  }
}

function checkAlternatives(
  schema: JsonSchema,
  value: unknown,
  path: string,
  problems: Problems,
): void {
  const { allOf, anyOf, oneOf, not } = schema;
  const fitting = (schemas: readonly JsonSchema[]): number =>
    schemas.filter((each) => validate(each, value, path).length === 0).length;
  const refuse = (detail: string): void => {
    // The reference gives no field here, and no value.
    problems.push(invalidValue('<nil>', '', detail));
  };
  for (const each of allOf ?? []) check(each, value, path, problems);
  if (anyOf !== undefined && fitting(anyOf) === 0) {
    refuse(`"${path}" must validate at least one schema (anyOf)`);
  }
  if (oneOf !== undefined) {
    const count = fitting(oneOf);
    if (count !== 1) {
      refuse(
        `"${path}" must validate one and only one schema (oneOf). Found ${count === 0 ? 'none valid' : `${count} valid alternatives`}`,
      );
    }
  }
  if (not !== undefined && validate(not, value, path).length === 0) {
    refuse(`"${path}" must not validate the schema (not)`);
  }
}
