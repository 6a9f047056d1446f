import type { JsonObject } from './json.ts';
import { at, deepEqual, ensureObject, isObject, objectsAt, own, textAt } from './json.ts';
import type { ServedKind } from './kinds.ts';
import { changesSpec } from './metadata.ts';
import type { ApiObject, StoredObject } from './object.ts';

/** What of an object a request may write: each subresource has fields of its own. */
export type Part = 'object' | 'status' | 'finalize' | 'binding' | 'other';

export function partOf(subresource: string | undefined): Part {
  if (subresource === undefined || subresource === '') return 'object';
  if (subresource === 'status' || subresource === 'finalize' || subresource === 'binding') {
    return subresource;
  }
  return 'other';
}

// Kinds whose objects come with their status: their makers know it.
const STATUS_AT_CREATION = new Set([
  'nodes',
  'persistentvolumes',
  'apiservices.apiregistration.k8s.io',
]);

// Kinds that count the changes of what is wanted. Custom resources do, too.
const COUNTING = new Set([
  'deployments.apps',
  'replicasets.apps',
  'statefulsets.apps',
  'daemonsets.apps',
  'jobs.batch',
  'cronjobs.batch',
  'pods',
  'poddisruptionbudgets.policy',
  'endpointslices.discovery.k8s.io',
  'networkpolicies.networking.k8s.io',
  'ingresses.networking.k8s.io',
  'ingressclasses.networking.k8s.io',
  'validatingwebhookconfigurations.admissionregistration.k8s.io',
  'mutatingwebhookconfigurations.admissionregistration.k8s.io',
  'priorityclasses.scheduling.k8s.io',
  'customresourcedefinitions.apiextensions.k8s.io',
]);

/** Sets what the server decides about a new object's status. `object` is changed. */
export function prepareNew(kind: ServedKind, object: ApiObject): void {
  if (hasStatus(kind) && !STATUS_AT_CREATION.has(kind.storageKey)) delete object['status'];
  if (kind.custom || COUNTING.has(kind.storageKey)) object.metadata.generation = 1;
  newStatuses[kind.storageKey]?.(object);
}

/**
 * Takes from an update what its request may not write: the status for an update of the object, all
 * else for one of the status. Both arguments have the same version; `object` is changed.
 */
export function prepareUpdate(
  kind: ServedKind,
  object: ApiObject,
  current: StoredObject,
  part: Part,
): void {
  if (part === 'status') keepAllBut(kind, object, current, 'status');
  if (part === 'status' && kind.storageKey === 'pods') listPodAddress(object);
  else if (part === 'object' && hasStatus(kind)) keepField(object, current, 'status');
  if (part === 'finalize') keepField(object, current, 'status');
  if (part === 'object' && kind.storageKey === 'namespaces') keepFinalizers(object, current);
  if (part === 'object') inherit[kind.storageKey]?.(object, current);
}

/** `podIP` is the first of `podIPs`, for clients that know only one of them. */
function listPodAddress(pod: ApiObject): void {
  const status = own(pod, 'status');
  if (!isObject(status)) return;
  const address = textAt(status, 'podIP');
  if (address !== '' && objectsAt(status, 'podIPs').length === 0) {
    status['podIPs'] = [{ ip: address }];
  }
}

/** Counts an update that changes what is wanted. `object` is changed. */
export function countGeneration(object: ApiObject, current: StoredObject): void {
  const { generation } = current.metadata;
  if (generation === undefined || !changesSpec(object, current)) return;
  object.metadata.generation = generation + 1;
}

function hasStatus(kind: ServedKind): boolean {
  return kind.subresources.includes('status');
}

const newStatuses: Readonly<Record<string, (object: ApiObject) => void>> = {
  pods: (pod) => {
    pod['status'] = { phase: 'Pending', qosClass: qualityOf(ensureObject(pod, 'spec')) };
  },
  services: (service) => {
    service['status'] = { loadBalancer: {} };
  },
  namespaces: (namespace) => {
    ensureObject(namespace, 'spec')['finalizers'] = ['kubernetes'];
    namespace['status'] = { phase: 'Active' };
  },
  persistentvolumeclaims: (claim) => {
    claim['status'] = { phase: 'Pending' };
  },
  'deployments.apps': emptyStatus,
  'replicasets.apps': (set) => {
    set['status'] = { replicas: 0 };
  },
  'statefulsets.apps': (set) => {
    set['status'] = { replicas: 0, availableReplicas: 0 };
  },
  'daemonsets.apps': (set) => {
    set['status'] = {
      currentNumberScheduled: 0,
      numberMisscheduled: 0,
      desiredNumberScheduled: 0,
      numberReady: 0,
    };
  },
  'jobs.batch': emptyStatus,
  'cronjobs.batch': emptyStatus,
  'customresourcedefinitions.apiextensions.k8s.io': emptyStatus,
};

function emptyStatus(object: ApiObject): void {
  object['status'] = {};
}

/** Fields that an update may leave out: what the server chose for the object stays. */
const inherit: Readonly<Record<string, (object: ApiObject, current: StoredObject) => void>> = {
  services: (service, current) => {
    const spec = own(service, 'spec');
    if (isObject(spec)) inheritAddresses(spec, current);
  },
  serviceaccounts: (account, current) => {
    if (own(account, 'secrets') === undefined) keepField(account, current, 'secrets');
  },
};

const OUTSIDE_TYPES = new Set(['NodePort', 'LoadBalancer']);
const ADDRESS_FIELDS = ['clusterIP', 'clusterIPs', 'ipFamilies', 'ipFamilyPolicy'];

/** A service keeps its addresses, and loses with its type what only that has, unless it says otherwise. */
function inheritAddresses(spec: JsonObject, current: StoredObject): void {
  const [type, typeBefore] = [textAt(spec, 'type'), textAt(current, 'spec', 'type')];
  const drop = (...fields: readonly string[]): void => {
    for (const field of fields) {
      if (deepEqual(own(spec, field), at(current, 'spec', field))) delete spec[field];
    }
  };
  if (type === 'ExternalName') return drop(...ADDRESS_FIELDS, 'internalTrafficPolicy');
  for (const field of ADDRESS_FIELDS) {
    const before = at(current, 'spec', field);
    const isGiven = own(spec, field) !== undefined && own(spec, field) !== '';
    if (!isGiven && before !== undefined) spec[field] = before;
  }
  if (OUTSIDE_TYPES.has(typeBefore) && !OUTSIDE_TYPES.has(type)) drop('externalTrafficPolicy');
  if (typeBefore === 'LoadBalancer' && type !== typeBefore) {
    drop('allocateLoadBalancerNodePorts', 'loadBalancerClass');
  }
}

function keepField(object: ApiObject, current: ApiObject, field: string): void {
  if (current[field] === undefined) delete object[field];
  else object[field] = current[field];
}

function keepAllBut(
  kind: ServedKind,
  object: ApiObject,
  current: StoredObject,
  changed: string,
): void {
  for (const field of new Set([...Object.keys(object), ...Object.keys(current)])) {
    if (field !== changed && field !== 'metadata') keepField(object, current, field);
  }
  const { resourceVersion, managedFields } = object.metadata;
  const { labels, annotations } = object.metadata;
  object.metadata = { ...current.metadata };
  // Agents on nodes mark pods this way; for no other kind it can be done.
  if (kind.storageKey === 'pods') {
    delete object.metadata.labels;
    delete object.metadata.annotations;
    if (labels !== undefined) object.metadata.labels = labels;
    if (annotations !== undefined) object.metadata.annotations = annotations;
  }
  if (resourceVersion !== undefined) object.metadata.resourceVersion = resourceVersion;
  if (managedFields !== undefined) object.metadata.managedFields = managedFields;
}

function keepFinalizers(namespace: ApiObject, current: StoredObject): void {
  const finalizers = at(current, 'spec', 'finalizers');
  if (finalizers !== undefined) ensureObject(namespace, 'spec')['finalizers'] = finalizers;
}

/** The quality of service that a pod's requests and limits earn it. */
function qualityOf(spec: JsonObject): 'Guaranteed' | 'Burstable' | 'BestEffort' {
  const containers = [...objectsAt(spec, 'containers'), ...objectsAt(spec, 'initContainers')];
  let some = false;
  let all = containers.length > 0;
  for (const container of containers) {
    for (const resource of ['cpu', 'memory']) {
      const limit = at(container, 'resources', 'limits', resource);
      const request = at(container, 'resources', 'requests', resource);
      some ||= limit !== undefined || request !== undefined;
      all &&= limit !== undefined && limit === request;
    }
  }
  if (all) return 'Guaranteed';
  return some ? 'Burstable' : 'BestEffort';
}
