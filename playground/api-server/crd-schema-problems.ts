import type { FieldProblem } from './errors.ts';
import { forbiddenField, invalidValue, requiredValue, unsupportedValue } from './errors.ts';
import type { JsonObject } from './json.ts';
import { isList, isObject, objectsAt, own, textAt } from './json.ts';
import { regularExpression } from './schema/pattern.ts';
import { validate } from './schema/validate.ts';

// https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema

const TYPES = ['array', 'boolean', 'integer', 'number', 'object', 'string'];
const UNSUPPORTED = [
  '$ref',
  'definitions',
  'dependencies',
  'id',
  'patternProperties',
  'additionalItems',
];
const ALTERNATIVES = ['allOf', 'anyOf', 'oneOf'];
// What only the structure itself may say, not an alternative within it.
const STRUCTURE_ONLY = [
  'type',
  'description',
  'title',
  'default',
  'nullable',
  'additionalProperties',
  'x-kubernetes-preserve-unknown-fields',
  'x-kubernetes-embedded-resource',
  'x-kubernetes-int-or-string',
];
const INT_OR_STRING = 'x-kubernetes-int-or-string';
const PRESERVE = 'x-kubernetes-preserve-unknown-fields';

/** Why a schema is not structural, in the words of the reference; `field` is the path of the schema. */
export function schemaProblems(schema: JsonObject, field: string): readonly FieldProblem[] {
  const problems: FieldProblem[] = [];
  const type = textAt(schema, 'type');
  if (type === '') {
    problems.push(requiredValue(`${field}.type`, 'must not be empty at the root'));
  } else if (type !== 'object') {
    problems.push(invalidValue(`${field}.type`, type, 'must be object at the root'));
  }
  check(schema, field, problems);
  return problems;
}

function check(schema: JsonObject, field: string, problems: FieldProblem[]): void {
  const type = textAt(schema, 'type');
  if (type !== '' && !TYPES.includes(type)) {
    problems.push(unsupportedValue(`${field}.type`, type, TYPES));
  }
  for (const key of UNSUPPORTED) {
    if (own(schema, key) !== undefined) {
      problems.push(forbiddenField(`${field}.${key}`, `${key} is not supported`));
    }
  }
  if (own(schema, 'uniqueItems') === true) {
    const why = 'uniqueItems cannot be set to true since the runtime complexity becomes quadratic';
    problems.push(forbiddenField(`${field}.uniqueItems`, why));
  }
  checkPattern(schema, field, problems);
  checkDefault(schema, field, problems);
  checkList(schema, field, problems);
  checkFields(schema, field, problems);
  for (const key of ALTERNATIVES) {
    for (const [index, inner] of objectsAt(schema, key).entries()) {
      checkAlternative(inner, `${field}.${key}[${index}]`, problems);
    }
  }
  const not = own(schema, 'not');
  if (isObject(not)) checkAlternative(not, `${field}.not`, problems);
}

function checkFields(schema: JsonObject, field: string, problems: FieldProblem[]): void {
  const properties = own(schema, 'properties');
  const additional = own(schema, 'additionalProperties');
  if (additional !== undefined && isObject(properties) && Object.keys(properties).length > 0) {
    const why = 'additionalProperties and properties are mutual exclusive';
    problems.push(forbiddenField(`${field}.additionalProperties`, why));
  }
  if (additional === false) {
    const why = 'additionalProperties cannot be set to false';
    problems.push(forbiddenField(`${field}.additionalProperties`, why));
  }
  if (isObject(additional)) {
    checkTyped(additional, `${field}.additionalProperties`, 'object fields', problems);
  }
  if (!isObject(properties)) return;
  for (const [name, inner] of Object.entries(properties)) {
    if (isObject(inner)) {
      checkTyped(inner, `${field}.properties[${name}]`, 'object fields', problems);
    }
  }
}

function checkTyped(
  schema: JsonObject,
  field: string,
  where: string,
  problems: FieldProblem[],
): void {
  const hasType = textAt(schema, 'type') !== '';
  const isMixed = own(schema, INT_OR_STRING) === true;
  if (isMixed && hasType) {
    const why = `must be empty if ${INT_OR_STRING} is true`;
    problems.push(invalidValue(`${field}.type`, own(schema, 'type'), why));
  }
  if (!hasType && !isMixed && own(schema, PRESERVE) !== true) {
    problems.push(requiredValue(`${field}.type`, `must not be empty for specified ${where}`));
  }
  check(schema, field, problems);
}

function checkList(schema: JsonObject, field: string, problems: FieldProblem[]): void {
  const items = own(schema, 'items');
  if (isObject(items)) checkTyped(items, `${field}.items`, 'array items', problems);
  else if (textAt(schema, 'type') === 'array' && own(schema, PRESERVE) !== true) {
    problems.push(requiredValue(`${field}.items`, 'must be specified'));
  }
  const listType = own(schema, 'x-kubernetes-list-type');
  if (listType === undefined) return;
  if (listType !== 'atomic' && listType !== 'set' && listType !== 'map') {
    const supported = ['atomic', 'map', 'set'];
    problems.push(unsupportedValue(`${field}.x-kubernetes-list-type`, listType, supported));
  } else if (textAt(schema, 'type') !== 'array') {
    const why = 'must be array if x-kubernetes-list-type is specified';
    problems.push(invalidValue(`${field}.type`, textAt(schema, 'type'), why));
  } else if (listType === 'map') {
    checkMapKeys(schema, items, field, problems);
  }
}

function checkMapKeys(
  schema: JsonObject,
  items: unknown,
  field: string,
  problems: FieldProblem[],
): void {
  const keys = own(schema, 'x-kubernetes-list-map-keys');
  const path = `${field}.x-kubernetes-list-map-keys`;
  if (!isList(keys) || keys.length === 0) {
    const why = 'must not be empty if x-kubernetes-list-type is map';
    problems.push(requiredValue(path, why));
    return;
  }
  for (const [index, key] of keys.entries()) {
    const item = own(own(items, 'properties'), String(key));
    if (item !== undefined) continue;
    const why = 'entries must all be names of item properties';
    problems.push(invalidValue(`${path}[${index}]`, key, why));
  }
}

function checkPattern(schema: JsonObject, field: string, problems: FieldProblem[]): void {
  const pattern = textAt(schema, 'pattern');
  if (pattern === '' || regularExpression(pattern) !== undefined) return;
  const detail = "must be a valid regular expression, but isn't";
  problems.push(invalidValue(`${field}.pattern`, pattern, detail));
}

function checkDefault(schema: JsonObject, field: string, problems: FieldProblem[]): void {
  const given = own(schema, 'default');
  if (given === undefined) return;
  problems.push(...validate(schema, given, `${field}.default`));
}

function checkAlternative(schema: JsonObject, field: string, problems: FieldProblem[]): void {
  const isMixed = own(schema, INT_OR_STRING) === true;
  for (const key of STRUCTURE_ONLY) {
    const value = own(schema, key);
    // The two halves of "int or string" may be told apart by their types.
    const isHalf = key === 'type' && (value === 'integer' || value === 'string');
    if (value === undefined || isMixed || isHalf) continue;
    problems.push(forbiddenField(`${field}.${key}`, 'must be empty to be structural'));
  }
  checkPattern(schema, field, problems);
  const properties = own(schema, 'properties');
  for (const [name, inner] of Object.entries(isObject(properties) ? properties : {})) {
    if (isObject(inner)) checkAlternative(inner, `${field}.properties[${name}]`, problems);
  }
  const items = own(schema, 'items');
  if (isObject(items)) checkAlternative(items, `${field}.items`, problems);
  for (const key of ALTERNATIVES) {
    for (const [index, inner] of objectsAt(schema, key).entries()) {
      checkAlternative(inner, `${field}.${key}[${index}]`, problems);
    }
  }
  const not = own(schema, 'not');
  if (isObject(not)) checkAlternative(not, `${field}.not`, problems);
}
