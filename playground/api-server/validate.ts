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
  secrets: dataProblems,
  'deployments.apps': (object) => workloadProblems(object, 'deployment'),
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
    if (!matchesLabels(selector, asLabels(labels))) {
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
      if (!CONFIG_KEY.test(key)) {
        problems.push(invalidValue(`${field}[${key}]`, key, CONFIG_KEY_PROBLEM));
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
