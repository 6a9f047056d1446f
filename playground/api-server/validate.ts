import { matchesLabels } from '#kube/selector.ts';

import { definitionProblems, definitionUpdateProblems } from './crd-problems.ts';
import type { FieldProblem } from './errors.ts';
import {
  forbiddenField,
  invalid,
  invalidValue,
  requiredValue,
  unsupportedValue,
} from './errors.ts';
import type { JsonObject } from './json.ts';
import { at, deepEqual, isObject, objectsAt, own, textAt } from './json.ts';
import type { ServedKind } from './kinds.ts';
import { labelProblems, metadataNameProblems } from './names.ts';
import type { ApiObject, StoredObject } from './object.ts';
import { checkTyped } from './schema/check-typed.ts';
import { validate } from './schema/validate.ts';
import type { Part } from './strategy.ts';
import { atLeast, podSpecProblems, podUpdateProblems } from './validate-pod.ts';
import { serviceProblems, serviceUpdateProblems } from './validate-service.ts';

/** Refuses an object that its kind does not allow: throws a 422 that names everything wrong. */
export function validateObject(
  kind: ServedKind,
  object: StoredObject,
  update?: { readonly current: StoredObject; readonly part: Part },
): void {
  const problems = [...metadataNameProblems(kind, object.metadata)];
  if (kind.custom) problems.push(...validate(kind.schema ?? {}, object));
  else if (update === undefined || update.part !== 'status') {
    problems.push(...checkTyped(kind.schema ?? {}, object));
    problems.push(...(checks[kind.storageKey]?.(object) ?? []));
  }
  if (update !== undefined && !kind.custom && update.part !== 'status') {
    problems.push(...updateProblems(kind, object, update.current, update.part));
  }
  if (problems.length > 0) throw invalid(kind, object.metadata.name, problems);
}

type Check = (object: ApiObject) => readonly FieldProblem[];

const checks: Readonly<Record<string, Check>> = {
  pods: (pod) => podSpecProblems(at(pod, 'spec'), 'spec'),
  services: serviceProblems,
  configmaps: dataProblems,
  secrets: (secret) => [...dataProblems(secret), ...secretTypeProblems(secret)],
  'deployments.apps': (object) => [
    ...workloadProblems(object, 'deployment'),
    ...rolloutProblems(object['spec']),
  ],
  'replicasets.apps': (object) => workloadProblems(object, 'ReplicaSet'),
  'statefulsets.apps': (object) => workloadProblems(object, 'statefulset'),
  'daemonsets.apps': (object) => workloadProblems(object, 'daemonset'),
  'jobs.batch': jobProblems,
  'roles.rbac.authorization.k8s.io': ruleProblems,
  'clusterroles.rbac.authorization.k8s.io': ruleProblems,
  'leases.coordination.k8s.io': leaseProblems,
  'customresourcedefinitions.apiextensions.k8s.io': definitionProblems,
  'poddisruptionbudgets.policy': (budget) =>
    own(budget['spec'], 'minAvailable') !== undefined &&
    own(budget['spec'], 'maxUnavailable') !== undefined
      ? [invalidValue('spec', budget['spec'], 'minAvailable and maxUnavailable cannot be both set')]
      : [],
};

function updateProblems(
  kind: ServedKind,
  object: ApiObject,
  current: StoredObject,
  part: Part,
): readonly FieldProblem[] {
  switch (kind.storageKey) {
    case 'pods':
      return part === 'other' ? [] : podUpdateProblems(object, current, part === 'binding');
    case 'services':
      return serviceUpdateProblems(object, current);
    case 'configmaps':
    case 'secrets':
      return immutableDataProblems(object, current);
    case 'rolebindings.rbac.authorization.k8s.io':
    case 'clusterrolebindings.rbac.authorization.k8s.io':
      return unchanged(object, current, ['roleRef'], 'cannot change roleRef');
    case 'deployments.apps':
    case 'replicasets.apps':
    case 'daemonsets.apps':
    case 'jobs.batch':
      return unchanged(object, current, ['spec', 'selector'], 'field is immutable');
    case 'endpointslices.discovery.k8s.io':
      return unchanged(object, current, ['addressType'], 'field is immutable');
    case 'customresourcedefinitions.apiextensions.k8s.io':
      return definitionUpdateProblems(object, current);
    case 'statefulsets.apps':
      return statefulSetProblems(object, current);
    default:
      return [];
  }
}

function unchanged(
  object: ApiObject,
  current: ApiObject,
  path: readonly string[],
  detail: string,
): readonly FieldProblem[] {
  const value = at(object, ...path);
  if (deepEqual(value, at(current, ...path))) return [];
  return [invalidValue(path.join('.'), value, detail)];
}

function workloadProblems(object: ApiObject, name: string): readonly FieldProblem[] {
  const problems: FieldProblem[] = [];
  const selector = at(object, 'spec', 'selector');
  const labels = at(object, 'spec', 'template', 'metadata', 'labels');
  if (isObject(selector)) {
    if (Object.keys(selector).length === 0) {
      const detail = `empty selector is invalid for ${name}`;
      problems.push(invalidValue('spec.selector', selector, detail));
    }
    const wrong = selectorProblems(selector, 'spec.selector');
    problems.push(...wrong);
    if (wrong.length === 0 && !matchesLabels(selector, asLabels(labels))) {
      const detail = '`selector` does not match template `labels`';
      problems.push(invalidValue('spec.template.metadata.labels', labels ?? {}, detail));
    }
  }
  const replicas = at(object, 'spec', 'replicas');
  if (typeof replicas === 'number' && replicas < 0) {
    problems.push(atLeast('spec.replicas', replicas, 0));
  }
  problems.push(...templateProblems(object, ['Always']));
  return problems;
}

/** What is wrong with the conditions of a selector. */
function selectorProblems(selector: JsonObject, field: string): readonly FieldProblem[] {
  const problems: FieldProblem[] = [];
  for (const [index, term] of objectsAt(selector, 'matchExpressions').entries()) {
    const path = `${field}.matchExpressions[${index}]`;
    const operator = textAt(term, 'operator');
    const count = (own(term, 'values') as readonly unknown[] | undefined)?.length ?? 0;
    if (operator === 'In' || operator === 'NotIn') {
      const detail = "must be specified when `operator` is 'In' or 'NotIn'";
      if (count === 0) problems.push(requiredValue(`${path}.values`, detail));
    } else if (operator === 'Exists' || operator === 'DoesNotExist') {
      const detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
      if (count > 0) problems.push(forbiddenField(`${path}.values`, detail));
    } else {
      const detail = 'not a valid selector operator';
      problems.push(invalidValue(`${path}.operator`, operator, detail));
    }
  }
  if (problems.length > 0) problems.push(invalidValue(field, selector, 'invalid label selector'));
  return problems;
}

function isNone(count: unknown): boolean {
  return count === 0 || (typeof count === 'string' && /^0+%$/u.test(count));
}

/** What is wrong with how a deployment replaces its pods. */
function rolloutProblems(spec: unknown): readonly FieldProblem[] {
  const problems: FieldProblem[] = [];
  const field = 'spec.strategy.rollingUpdate';
  const rolling = at(spec, 'strategy', 'rollingUpdate');
  if (textAt(spec, 'strategy', 'type') === 'Recreate' && rolling !== undefined) {
    const detail = "may not be specified when strategy `type` is 'Recreate'";
    problems.push(forbiddenField(field, detail));
  } else if (isObject(rolling)) {
    for (const name of ['maxUnavailable', 'maxSurge']) {
      const value = own(rolling, name);
      if (typeof value !== 'string' || /^\d+%$/u.test(value)) continue;
      const detail =
        "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";
      problems.push(invalidValue(`${field}.${name}`, value, detail));
    }
    if (isNone(own(rolling, 'maxUnavailable')) && isNone(own(rolling, 'maxSurge'))) {
      const detail = 'may not be 0 when `maxSurge` is 0';
      const value = own(rolling, 'maxUnavailable');
      problems.push(invalidValue(`${field}.maxUnavailable`, value, detail));
    }
  }
  const deadline = own(spec, 'progressDeadlineSeconds');
  if (typeof deadline === 'number' && deadline <= Number(own(spec, 'minReadySeconds') ?? 0)) {
    const detail = 'must be greater than minReadySeconds';
    problems.push(invalidValue('spec.progressDeadlineSeconds', deadline, detail));
  }
  return problems;
}

function templateProblems(object: ApiObject, policies: readonly string[]): FieldProblem[] {
  const field = 'spec.template';
  const template = at(object, 'spec', 'template');
  const labels = asLabels(at(template, 'metadata', 'labels'));
  const policy = textAt(template, 'spec', 'restartPolicy');
  const problems = [
    ...labelProblems(labels, `${field}.metadata.labels`),
    ...podSpecProblems(at(template, 'spec') ?? {}, `${field}.spec`),
  ];
  if (policy !== '' && !policies.includes(policy)) {
    problems.push(unsupportedValue(`${field}.spec.restartPolicy`, policy, policies));
  }
  return problems;
}

function jobProblems(job: ApiObject): readonly FieldProblem[] {
  const policy = textAt(job, 'spec', 'template', 'spec', 'restartPolicy');
  if (policy !== 'Always') return templateProblems(job, ['OnFailure', 'Never']);
  const field = 'spec.template.spec.restartPolicy';
  return [
    { ...requiredValue(field), message: 'Required value: valid values: "OnFailure", "Never"' },
  ];
}

function statefulSetProblems(object: ApiObject, current: ApiObject): readonly FieldProblem[] {
  const mutable = [
    'replicas',
    'ordinals',
    'template',
    'updateStrategy',
    'revisionHistoryLimit',
    'persistentVolumeClaimRetentionPolicy',
    'minReadySeconds',
  ];
  const fixed = (from: ApiObject): unknown =>
    Object.fromEntries(
      Object.entries(from['spec'] ?? {}).filter(([field]) => !mutable.includes(field)),
    );
  if (deepEqual(fixed(object), fixed(current))) return [];
  return [
    forbiddenField(
      'spec',
      "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
    ),
  ];
}

// What a ConfigMap or a Secret may hold together, as in the reference: 1 MiB.
const DATA_BYTES_MAX = 1_048_576;
const CONFIG_KEY = /^[-._a-zA-Z0-9]+$/u;
const CONFIG_KEY_PROBLEM =
  "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

function dataProblems(object: ApiObject): readonly FieldProblem[] {
  const problems: FieldProblem[] = [];
  let bytes = 0;
  for (const field of ['data', 'binaryData']) {
    const data = object[field];
    if (!isObject(data)) continue;
    for (const key of Object.keys(data)) {
      bytes += Buffer.byteLength(textAt(data, key));
      const path = `${field}[${key}]`;
      if (!CONFIG_KEY.test(key)) problems.push(invalidValue(path, key, CONFIG_KEY_PROBLEM));
      if (key === '.') problems.push(invalidValue(path, key, "must not be '.'"));
      if (key.startsWith('..')) {
        const detail = key === '..' ? "must not be '..'" : "must not start with '..'";
        problems.push(invalidValue(path, key, detail));
      }
      if (field === 'data' && own(object['binaryData'], key) !== undefined) {
        problems.push(invalidValue(path, key, 'duplicate of key present in binaryData'));
      }
    }
  }
  if (bytes > DATA_BYTES_MAX) {
    const message = `Too long: may not be more than ${DATA_BYTES_MAX} bytes`;
    problems.push({
      field: object.kind === 'Secret' ? 'data' : '',
      reason: 'FieldValueTooLong',
      message,
    });
  }
  return problems;
}

/** What secrets of some types have to have. */
function secretTypeProblems(secret: ApiObject): readonly FieldProblem[] {
  if (secret['type'] !== 'kubernetes.io/tls') return [];
  const missing = ['tls.crt', 'tls.key'].filter((key) => own(secret['data'], key) === undefined);
  return missing.map((key) => requiredValue(`data[${key}]`));
}

function immutableDataProblems(object: ApiObject, current: ApiObject): readonly FieldProblem[] {
  const problems: FieldProblem[] = [];
  if (object.kind === 'Secret') {
    problems.push(...unchanged(object, current, ['type'], 'field is immutable'));
  }
  if (current['immutable'] !== true) return problems;
  const detail = 'field is immutable when `immutable` is set';
  for (const field of ['immutable', 'data', 'binaryData']) {
    if (!deepEqual(object[field], current[field])) problems.push(forbiddenField(field, detail));
  }
  return problems;
}

function ruleProblems(role: ApiObject): readonly FieldProblem[] {
  const problems: FieldProblem[] = [];
  for (const [index, rule] of objectsAt(role, 'rules').entries()) {
    const verbs = own(rule, 'verbs');
    if (Array.isArray(verbs) && verbs.length === 0) {
      problems.push(
        requiredValue(`rules[${index}].verbs`, 'verbs must contain at least one value'),
      );
    }
  }
  return problems;
}

function leaseProblems(lease: ApiObject): readonly FieldProblem[] {
  const seconds = at(lease, 'spec', 'leaseDurationSeconds');
  if (typeof seconds !== 'number' || seconds > 0) return [];
  return [invalidValue('spec.leaseDurationSeconds', seconds, 'must be greater than 0')];
}

function asLabels(labels: unknown): Record<string, string> {
  return isObject(labels) ? (labels as Record<string, string>) : {};
}
