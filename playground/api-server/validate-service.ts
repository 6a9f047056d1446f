import type { FieldProblem } from './errors.ts';
import { duplicateValue, invalidValue, requiredValue } from './errors.ts';
import type { JsonObject } from './json.ts';
import { at, deepEqual, isObject, objectsAt, own, textAt } from './json.ts';
import { dnsLabelProblem, dnsSubdomainProblem, labelProblems, portNameProblems } from './names.ts';
import type { ApiObject } from './object.ts';
import { portProblem } from './validate-pod.ts';

/** What is wrong with a service beyond its schema. */
export function serviceProblems(service: ApiObject): readonly FieldProblem[] {
  const problems: FieldProblem[] = [];
  const spec = at(service, 'spec');
  const ports = objectsAt(spec, 'ports');
  const isExternal = textAt(spec, 'type') === 'ExternalName';
  problems.push(...trafficProblems(spec));
  const selector = own(spec, 'selector');
  if (isObject(selector)) {
    problems.push(...labelProblems(selector as Record<string, string>, 'spec.selector'));
  }
  if (isExternal) problems.push(...externalNameProblems(textAt(spec, 'externalName')));
  if (!isExternal && ports.length === 0 && textAt(spec, 'clusterIP') !== 'None') {
    problems.push(requiredValue('spec.ports'));
  }
  const names = new Set<string>();
  const numbers = new Set<string>();
  for (const [index, port] of ports.entries()) {
    const path = `spec.ports[${index}]`;
    problems.push(...portProblems(port, path, ports.length > 1));
    const name = textAt(port, 'name');
    if (name !== '' && names.has(name)) problems.push(duplicateValue(`${path}.name`, name));
    names.add(name);
    const identity = { port: own(port, 'port'), protocol: own(port, 'protocol') };
    const key = JSON.stringify(identity);
    if (numbers.has(key)) problems.push(duplicateValue(path, identity));
    numbers.add(key);
  }
  return problems;
}

/** What an update of a service may not change. */
export function serviceUpdateProblems(
  next: ApiObject,
  current: ApiObject,
): readonly FieldProblem[] {
  const before = textAt(current, 'spec', 'clusterIP');
  const external = 'ExternalName';
  if (before === '' || textAt(current, 'spec', 'type') === external) return [];
  if (textAt(next, 'spec', 'type') === external) return [];
  if (deepEqual(at(next, 'spec', 'clusterIPs'), at(current, 'spec', 'clusterIPs'))) {
    if (textAt(next, 'spec', 'clusterIP') === before) return [];
  }
  const given = at(next, 'spec', 'clusterIPs') ?? [textAt(next, 'spec', 'clusterIP')];
  return [invalidValue('spec.clusterIPs[0]', given, 'may not change once set')];
}

function portProblems(port: JsonObject, path: string, several: boolean): readonly FieldProblem[] {
  const problems: FieldProblem[] = [];
  const name = textAt(port, 'name');
  if (several && name === '') problems.push(requiredValue(`${path}.name`));
  const nameProblem = name === '' ? undefined : dnsLabelProblem(name);
  if (nameProblem !== undefined) problems.push(invalidValue(`${path}.name`, name, nameProblem));
  const number = portProblem(`${path}.port`, own(port, 'port'));
  if (number !== undefined) problems.push(number);
  const target = own(port, 'targetPort');
  const targetProblem =
    typeof target === 'number' ? portProblem(`${path}.targetPort`, target) : undefined;
  if (targetProblem !== undefined) problems.push(targetProblem);
  if (typeof target === 'string') problems.push(...portNameProblems(`${path}.targetPort`, target));
  return problems;
}

/** What a service asks for that its type, or this cluster, does not have. */
function trafficProblems(spec: unknown): readonly FieldProblem[] {
  const problems: FieldProblem[] = [];
  const policy = textAt(spec, 'externalTrafficPolicy');
  const type = textAt(spec, 'type');
  if (policy !== '' && type !== 'NodePort' && type !== 'LoadBalancer') {
    const detail = 'may only be set for externally-accessible services';
    problems.push(invalidValue('spec.externalTrafficPolicy', policy, detail));
  }
  const families = textAt(spec, 'ipFamilyPolicy');
  if (families === 'RequireDualStack') {
    const detail = 'this cluster is not configured for dual-stack services';
    problems.push(invalidValue('spec.ipFamilyPolicy', families, detail));
  }
  return problems;
}

function externalNameProblems(name: string): readonly FieldProblem[] {
  if (name === '') return [requiredValue('spec.externalName')];
  const problem = dnsSubdomainProblem(name.replace(/\.$/u, ''));
  return problem === undefined ? [] : [invalidValue('spec.externalName', name, problem)];
}
