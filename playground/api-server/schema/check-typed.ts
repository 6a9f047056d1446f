import type { FieldProblem } from '../errors.ts';
import { requiredValue, unsupportedValue } from '../errors.ts';
import { isList, isObject, own } from '../json.ts';
import type { JsonSchema } from './json-schema.ts';

/**
 * What a decoded built-in object lacks, and which of its words are not among those that a field
 * admits. Its metadata and its status are left out: the one has rules of its own, the other is
 * written by programs, whose absent fields count as zero.
 */
export function checkTyped(schema: JsonSchema, object: unknown): readonly FieldProblem[] {
  const problems: FieldProblem[] = [];
  check(schema, object, '', problems);
  return problems;
}

function check(schema: JsonSchema, value: unknown, path: string, problems: FieldProblem[]): void {
  if (schema.enum !== undefined && value !== '' && !schema.enum.includes(value)) {
    problems.push(
      unsupportedValue(
        path,
        value,
        schema.enum.filter((word) => word !== ''),
      ),
    );
  }
  if (isList(value)) {
    for (const [index, item] of value.entries()) {
      if (schema.items !== undefined) check(schema.items, item, `${path}[${index}]`, problems);
    }
  } else if (isObject(value)) {
    checkFields(schema, value, path, problems);
  }
}

function checkFields(
  schema: JsonSchema,
  object: Readonly<Record<string, unknown>>,
  path: string,
  problems: FieldProblem[],
): void {
  const { properties = {}, additionalProperties } = schema;
  const at = (field: string): string => (path === '' ? field : `${path}.${field}`);
  for (const field of schema.required ?? []) {
    const value = own(object, field);
    if (field !== 'metadata' && (value === undefined || value === '')) {
      problems.push(requiredValue(at(field)));
    }
  }
  for (const field of Object.keys(object)) {
    if (path === '' && (field === 'metadata' || field === 'status')) continue;
    const inner = Object.hasOwn(properties, field) ? properties[field] : additionalProperties;
    if (typeof inner === 'object') check(inner, object[field], at(field), problems);
  }
}
