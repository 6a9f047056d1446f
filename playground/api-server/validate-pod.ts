import { parseQuantity } from '#kube/quantity.ts';

import { labelKeyProblem } from '#kube/selector.ts';

import type { FieldProblem } from './errors.ts';
import {
  duplicateValue,
  forbiddenField,
  invalidValue,
  missingReference,
  requiredValue,
} from './errors.ts';
import type { JsonObject } from './json.ts';
import { at, deepCopy, deepEqual, isObject, objectsAt, own, textAt } from './json.ts';
import { dnsLabelProblem, dnsSubdomainProblem, labelProblems, portNameProblems } from './names.ts';
import type { ApiObject } from './object.ts';

/** What is wrong with a PodSpec beyond its schema; `field` is where it lies. */
export function podSpecProblems(spec: unknown, field: string): readonly FieldProblem[] {
  if (!isObject(spec)) return [];
  const problems: FieldProblem[] = [];
  const volumes = volumeProblems(spec, field, problems);
  const names = new Set<string>();
  for (const list of ['initContainers', 'containers', 'ephemeralContainers']) {
    for (const [index, container] of objectsAt(spec, list).entries()) {
      const path = `${field}.${list}[${index}]`;
      uniqueName(container, names, path, problems);
      problems.push(...containerProblems(container, path, volumes));
    }
  }
  if (objectsAt(spec, 'containers').length === 0)
    problems.push(requiredValue(`${field}.containers`));
  problems.push(...placementProblems(spec, field));
  return problems;
}

/** What is wrong with where a pod wants to run, under which name, and for how long. */
function placementProblems(spec: JsonObject, field: string): readonly FieldProblem[] {
  const problems: FieldProblem[] = [];
  const selector = own(spec, 'nodeSelector');
  if (isObject(selector)) {
    problems.push(...labelProblems(selector as Record<string, string>, `${field}.nodeSelector`));
  }
  const named = [
    ['nodeName', dnsSubdomainProblem],
    ['hostname', dnsLabelProblem],
    ['subdomain', dnsLabelProblem],
  ] as const;
  for (const [name, rule] of named) {
    const value = textAt(spec, name);
    const problem = value === '' ? undefined : rule(value);
    if (problem !== undefined) problems.push(invalidValue(`${field}.${name}`, value, problem));
  }
  const deadline = own(spec, 'activeDeadlineSeconds');
  if (typeof deadline === 'number' && (deadline < 1 || deadline > SECONDS_MAX)) {
    const detail = `must be between 1 and ${SECONDS_MAX}, inclusive`;
    problems.push(invalidValue(`${field}.activeDeadlineSeconds`, deadline, detail));
  }
  for (const [index, toleration] of objectsAt(spec, 'tolerations').entries()) {
    problems.push(...tolerationProblems(toleration, `${field}.tolerations[${index}]`));
  }
  return problems;
}

const SECONDS_MAX = 2_147_483_647;

function tolerationProblems(toleration: JsonObject, path: string): readonly FieldProblem[] {
  const [key, operator, value] = [
    textAt(toleration, 'key'),
    textAt(toleration, 'operator'),
    textAt(toleration, 'value'),
  ];
  const wrong = (of: string, detail: string) => [invalidValue(`${path}.operator`, of, detail)];
  if (key === '' && operator !== 'Exists') {
    const detail =
      'operator must be Exists when `key` is empty, which means "match all values and all keys"';
    return wrong(operator, detail);
  }
  if (operator === 'Exists' && value !== '') {
    return wrong(value, "value must be empty when `operator` is 'Exists'");
  }
  return [];
}

/** A port number that has to be one. */
export function portProblem(field: string, port: unknown): FieldProblem | undefined {
  if (typeof port === 'number' && port >= 1 && port <= 65_535) return undefined;
  return invalidValue(field, port, 'must be between 1 and 65535, inclusive');
}

export function atLeast(field: string, value: number, minimum: number): FieldProblem {
  return invalidValue(field, value, `must be greater than or equal to ${minimum}`);
}

/** What an update of a pod may not change: nearly everything. `binding` may set the node, once. */
export function podUpdateProblems(
  next: ApiObject,
  current: ApiObject,
  binding: boolean,
): readonly FieldProblem[] {
  const nodeBefore = textAt(current, 'spec', 'nodeName');
  if (binding && nodeBefore !== '') {
    const detail = `pod is already assigned to node "${nodeBefore}"`;
    return [forbiddenField('spec.nodeName', detail)];
  }
  const allowed = deepCopy(at(next, 'spec'));
  const before = at(current, 'spec');
  if (!isObject(allowed) || !isObject(before)) return [];
  for (const field of ['activeDeadlineSeconds', 'tolerations', 'terminationGracePeriodSeconds']) {
    adopt(allowed, before, field);
  }
  if (binding) adopt(allowed, before, 'nodeName');
  // Ephemeral containers have a subresource of their own.
  adopt(allowed, before, 'ephemeralContainers');
  for (const list of ['containers', 'initContainers']) adoptImages(allowed, before, list);
  if (deepEqual(allowed, before)) return [];
  return [
    forbiddenField(
      'spec',
      'pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)',
    ),
  ];
}

function adopt(object: JsonObject, from: JsonObject, field: string): void {
  if (own(from, field) === undefined) delete object[field];
  else object[field] = from[field];
}

function adoptImages(spec: JsonObject, from: JsonObject, list: string): void {
  const before = objectsAt(from, list);
  for (const [index, container] of objectsAt(spec, list).entries()) {
    const former = before[index];
    if (former !== undefined) adopt(container, former, 'image');
  }
}

function volumeProblems(
  spec: JsonObject,
  field: string,
  problems: FieldProblem[],
): ReadonlySet<string> {
  const names = new Set<string>();
  for (const [index, volume] of objectsAt(spec, 'volumes').entries()) {
    const path = `${field}.volumes[${index}]`;
    uniqueName(volume, names, path, problems);
    if (Object.keys(volume).length > 2) {
      problems.push(forbiddenField(path, 'may not specify more than 1 volume type'));
    }
  }
  return names;
}

function uniqueName(
  object: JsonObject,
  names: Set<string>,
  path: string,
  problems: FieldProblem[],
): void {
  const name = textAt(object, 'name');
  // A missing name is told by the schema.
  if (name === '') return;
  const problem = dnsLabelProblem(name);
  if (problem !== undefined) problems.push(invalidValue(`${path}.name`, name, problem));
  if (names.has(name)) problems.push(duplicateValue(`${path}.name`, name));
  names.add(name);
}

function containerProblems(
  container: JsonObject,
  path: string,
  volumes: ReadonlySet<string>,
): readonly FieldProblem[] {
  const problems: FieldProblem[] = [];
  const image = textAt(container, 'image');
  if (image === '') problems.push(requiredValue(`${path}.image`));
  else if (image !== image.trim()) {
    problems.push(
      invalidValue(`${path}.image`, image, 'must not have leading or trailing whitespace'),
    );
  }
  problems.push(...containerPortProblems(container, path));
  problems.push(...mountProblems(container, path, volumes));
  for (const [index, variable] of objectsAt(container, 'env').entries()) {
    problems.push(...variableProblems(variable, `${path}.env[${index}]`));
  }
  for (const probe of ['livenessProbe', 'readinessProbe', 'startupProbe']) {
    problems.push(...probeProblems(own(container, probe), `${path}.${probe}`));
  }
  problems.push(...resourceProblems(own(container, 'resources'), `${path}.resources`));
  return problems;
}

function containerPortProblems(container: JsonObject, path: string): readonly FieldProblem[] {
  const problems: FieldProblem[] = [];
  const names = new Set<string>();
  for (const [index, port] of objectsAt(container, 'ports').entries()) {
    const field = `${path}.ports[${index}]`;
    const name = textAt(port, 'name');
    if (name !== '') {
      problems.push(...portNameProblems(`${field}.name`, name));
      if (names.has(name)) problems.push(duplicateValue(`${field}.name`, name));
      names.add(name);
    }
    const number = own(port, 'containerPort');
    const problem =
      number === 0
        ? requiredValue(`${field}.containerPort`)
        : portProblem(`${field}.containerPort`, number);
    if (problem !== undefined) problems.push(problem);
  }
  return problems;
}

function mountProblems(
  container: JsonObject,
  path: string,
  volumes: ReadonlySet<string>,
): readonly FieldProblem[] {
  const problems: FieldProblem[] = [];
  const places = new Set<string>();
  for (const [index, mount] of objectsAt(container, 'volumeMounts').entries()) {
    const field = `${path}.volumeMounts[${index}]`;
    const name = textAt(mount, 'name');
    const place = textAt(mount, 'mountPath');
    if (name !== '' && !volumes.has(name)) problems.push(missingReference(`${field}.name`, name));
    if (places.has(place)) {
      problems.push(invalidValue(`${field}.mountPath`, place, 'must be unique'));
    }
    places.add(place);
  }
  return problems;
}

function variableProblems(variable: JsonObject, path: string): readonly FieldProblem[] {
  const name = textAt(variable, 'name');
  const source = own(variable, 'valueFrom');
  const problems: FieldProblem[] = [];
  if (name.includes('=')) {
    const detail =
      "a valid environment variable name must consist only of printable ASCII characters other than '='";
    problems.push(invalidValue(`${path}.name`, name, detail));
  }
  if (source !== undefined && textAt(variable, 'value') !== '') {
    const detail = 'may not be specified when `value` is not empty';
    problems.push(invalidValue(`${path}.valueFrom`, '', detail));
  }
  return problems;
}

const HANDLERS = ['exec', 'httpGet', 'tcpSocket', 'grpc'];

function probeProblems(probe: unknown, path: string): readonly FieldProblem[] {
  if (!isObject(probe)) return [];
  const problems: FieldProblem[] = [];
  const given = HANDLERS.filter((handler) => own(probe, handler) !== undefined);
  if (given.length === 0) problems.push(requiredValue(path, 'must specify a handler type'));
  for (const handler of given.slice(1)) {
    problems.push(forbiddenField(`${path}.${handler}`, 'may not specify more than 1 handler type'));
  }
  for (const field of [
    'initialDelaySeconds',
    'timeoutSeconds',
    'periodSeconds',
    'failureThreshold',
  ]) {
    const value = own(probe, field);
    if (typeof value === 'number' && value < 0)
      problems.push(atLeast(`${path}.${field}`, value, 0));
  }
  if (path.endsWith('livenessProbe') && own(probe, 'successThreshold') !== 1) {
    problems.push(
      invalidValue(`${path}.successThreshold`, own(probe, 'successThreshold'), 'must be 1'),
    );
  }
  return problems;
}

function resourceProblems(resources: unknown, path: string): readonly FieldProblem[] {
  const problems: FieldProblem[] = [];
  const requests = at(resources, 'requests');
  const limits = at(resources, 'limits');
  for (const name of isObject(requests) ? Object.keys(requests) : []) {
    const request = textAt(requests, name);
    const limit = textAt(limits, name);
    const problem = labelKeyProblem(name);
    if (problem !== undefined) problems.push(invalidValue(`${path}.requests`, name, problem));
    const wanted = parseQuantity(request);
    const most = parseQuantity(limit);
    if (wanted === undefined || most === undefined || wanted <= most) continue;
    const detail = `must be less than or equal to ${name} limit of ${limit}`;
    problems.push(invalidValue(`${path}.requests`, request, detail));
  }
  return problems;
}
