import { schemaProblems } from './crd-schema-problems.ts';
import type { FieldProblem } from './errors.ts';
import { invalidValue, requiredValue, unsupportedValue } from './errors.ts';
import type { JsonObject } from './json.ts';
import { at, deepEqual, isObject, objectsAt, own, textAt } from './json.ts';
import { dnsLabel1035Problem, dnsSubdomainProblem } from './names.ts';
import type { ApiObject } from './object.ts';

/** What is wrong with a CustomResourceDefinition, in the words of the reference. */
export function definitionProblems(definition: ApiObject): readonly FieldProblem[] {
  const problems: FieldProblem[] = [];
  const group = textAt(definition, 'spec', 'group');
  const plural = textAt(definition, 'spec', 'names', 'plural');
  const { name = '' } = definition.metadata;
  if (name !== `${plural}.${group}`) {
    problems.push(invalidValue('metadata.name', name, 'must be spec.names.plural+"."+spec.group'));
  }
  problems.push(...groupProblems(group));
  const scope = textAt(definition, 'spec', 'scope');
  if (scope !== 'Cluster' && scope !== 'Namespaced') {
    problems.push(unsupportedValue('spec.scope', scope, ['Cluster', 'Namespaced']));
  }
  const strategy = textAt(definition, 'spec', 'conversion', 'strategy');
  if (strategy !== 'None') {
    // The reference also knows Webhook.
    problems.push(unsupportedValue('spec.conversion.strategy', strategy, ['None']));
  }
  problems.push(...nameProblems(at(definition, 'spec', 'names')), ...versionsProblems(definition));
  return problems;
}

/** What an update may not change once objects can exist. */
export function definitionUpdateProblems(
  definition: ApiObject,
  current: ApiObject,
): readonly FieldProblem[] {
  const isEstablished = objectsAt(current, 'status', 'conditions').some(
    ({ type, status }) => type === 'Established' && status === 'True',
  );
  if (!isEstablished) return [];
  return [['group'], ['scope'], ['names', 'kind'], ['names', 'plural']]
    .filter((path) => !deepEqual(at(definition, 'spec', ...path), at(current, 'spec', ...path)))
    .map((path) =>
      invalidValue(`spec.${path.join('.')}`, at(definition, 'spec', ...path), 'field is immutable'),
    );
}

function groupProblems(group: string): readonly FieldProblem[] {
  if (group === '') return [];
  const problem = dnsSubdomainProblem(group);
  if (problem !== undefined) return [invalidValue('spec.group', group, problem)];
  if (group.includes('.')) return [];
  return [invalidValue('spec.group', group, 'should be a domain with at least one dot')];
}

function nameProblems(names: unknown): readonly FieldProblem[] {
  const problems: FieldProblem[] = [];
  for (const field of ['plural', 'singular', 'kind', 'listKind']) {
    const name = textAt(names, field);
    const problem = name === '' ? undefined : dnsLabel1035Problem(name.toLowerCase());
    if (problem !== undefined) {
      const detail = `may have mixed case, but should otherwise match: ${problem}`;
      problems.push(invalidValue(`spec.names.${field}`, name, detail));
    }
  }
  const kind = textAt(names, 'kind');
  if (kind !== '' && kind === textAt(names, 'listKind')) {
    const detail = 'kind and listKind may not be the same';
    problems.push(invalidValue('spec.names.listKind', kind, detail));
  }
  return problems;
}

function versionsProblems(definition: ApiObject): readonly FieldProblem[] {
  const problems: FieldProblem[] = [];
  const versions = objectsAt(definition, 'spec', 'versions');
  const list = versions.map((version) => textAt(version, 'name'));
  if (versions.length > 0 && versions.filter(({ storage }) => storage === true).length !== 1) {
    const detail = 'must have exactly one version marked as storage version';
    problems.push(invalidValue('spec.versions', list, detail));
  }
  if (new Set(list).size !== list.length) {
    problems.push(invalidValue('spec.versions', list, 'must contain unique version names'));
  }
  for (const [index, version] of versions.entries()) {
    problems.push(...versionProblems(version, `spec.versions[${index}]`));
  }
  return problems;
}

function versionProblems(version: JsonObject, field: string): readonly FieldProblem[] {
  const problems: FieldProblem[] = [];
  const name = textAt(version, 'name');
  const problem = name === '' ? undefined : dnsLabel1035Problem(name);
  if (problem !== undefined) problems.push(invalidValue(`${field}.name`, name, problem));
  const schema = at(version, 'schema', 'openAPIV3Schema');
  if (isObject(schema)) {
    problems.push(...schemaProblems(schema, `${field}.schema.openAPIV3Schema`));
  } else {
    const path = `${field}.schema.openAPIV3Schema`;
    problems.push(requiredValue(path, 'schemas are required'));
  }
  const columns = objectsAt(version, 'additionalPrinterColumns');
  for (const [index, column] of columns.entries()) {
    problems.push(...columnProblems(column, `${field}.additionalPrinterColumns[${index}]`));
  }
  const scale = at(version, 'subresources', 'scale');
  if (isObject(scale)) {
    problems.push(...scaleProblems(scale, `${field}.subresources.scale`));
  }
  return problems;
}

const COLUMN_TYPES = ['boolean', 'date', 'integer', 'number', 'string'];

function columnProblems(column: JsonObject, field: string): readonly FieldProblem[] {
  const problems: FieldProblem[] = [];
  const type = textAt(column, 'type');
  if (type !== '' && !COLUMN_TYPES.includes(type)) {
    const detail = `must be one of ${COLUMN_TYPES.join(',')}`;
    problems.push(invalidValue(`${field}.type`, type, detail));
  }
  const path = textAt(column, 'jsonPath');
  if (path !== '' && !path.startsWith('.')) {
    problems.push(
      invalidValue(`${field}.jsonPath`, path, 'must be a simple json path starting with .'),
    );
  }
  return problems;
}

function scaleProblems(scale: JsonObject, field: string): readonly FieldProblem[] {
  const rules: readonly (readonly [string, readonly string[]])[] = [
    ['specReplicasPath', ['.spec.']],
    ['statusReplicasPath', ['.status.']],
    ['labelSelectorPath', ['.spec.', '.status.']],
  ];
  return rules.flatMap(([name, prefixes]) => {
    const path = own(scale, name);
    if (typeof path !== 'string' || path === '') return [];
    if (prefixes.some((prefix) => path.startsWith(prefix))) return [];
    const allowed = prefixes.map((prefix) => prefix.slice(0, -1)).join(' or ');
    return [invalidValue(`${field}.${name}`, path, `should be a json path under ${allowed}`)];
  });
}
