import { defaultPod, defaultPodSpec, setDefault } from './default-pod.ts';
import type { JsonObject } from './json.ts';
import { at, ensureObject, isObject, objectsAt, own, textAt } from './json.ts';
import type { ServedKind } from './kinds.ts';

/**
 * Fills in what an object of a built-in kind leaves open, as the reference does. `object` is changed.
 * Addresses of services are not chosen here.
 */
export function applyBuiltinDefaults(kind: ServedKind, object: JsonObject): void {
  if (kind.custom) return;
  defaulters[kind.storageKey]?.(object);
}

const defaulters: Readonly<Record<string, (object: JsonObject) => void>> = {
  pods: (pod) => {
    defaultPodSpec(ensureObject(pod, 'spec'));
    defaultPod(pod);
  },
  services: defaultService,
  secrets: (secret) => {
    setDefault(secret, 'type', 'Opaque');
    encodeStringData(secret);
  },
  namespaces: (namespace) => {
    const metadata = ensureObject(namespace, 'metadata');
    // The label by which selectors of namespaces find one of a name.
    const name = own(metadata, 'name');
    if (name !== undefined) ensureObject(metadata, 'labels')['kubernetes.io/metadata.name'] = name;
  },
  endpoints: (endpoints) => {
    for (const subset of objectsAt(endpoints, 'subsets')) defaultPorts(subset);
  },
  'endpointslices.discovery.k8s.io': (slice) => {
    for (const port of objectsAt(slice, 'ports')) setDefault(port, 'name', '');
    defaultPorts(slice);
  },
  'deployments.apps': defaultDeployment,
  'replicasets.apps': (set) => {
    const spec = defaultWorkload(set);
    setDefault(spec, 'replicas', 1);
  },
  'daemonsets.apps': (set) => {
    const spec = defaultWorkload(set);
    setDefault(spec, 'revisionHistoryLimit', 10);
    const strategy = ensureObject(spec, 'updateStrategy');
    setDefault(strategy, 'type', 'RollingUpdate');
    if (strategy['type'] !== 'RollingUpdate') return;
    const rolling = ensureObject(strategy, 'rollingUpdate');
    setDefault(rolling, 'maxUnavailable', 1);
    setDefault(rolling, 'maxSurge', 0);
  },
  'statefulsets.apps': (set) => {
    const spec = defaultWorkload(set);
    setDefault(spec, 'replicas', 1);
    setDefault(spec, 'revisionHistoryLimit', 10);
    setDefault(spec, 'podManagementPolicy', 'OrderedReady');
    const strategy = ensureObject(spec, 'updateStrategy');
    setDefault(strategy, 'type', 'RollingUpdate');
    if (strategy['type'] === 'RollingUpdate') {
      setDefault(ensureObject(strategy, 'rollingUpdate'), 'partition', 0);
    }
    const retention = ensureObject(spec, 'persistentVolumeClaimRetentionPolicy');
    setDefault(retention, 'whenDeleted', 'Retain');
    setDefault(retention, 'whenScaled', 'Retain');
  },
  'jobs.batch': (job) => {
    defaultWorkload(job);
    const spec = ensureObject(job, 'spec');
    if (own(spec, 'completions') === undefined && own(spec, 'parallelism') === undefined) {
      spec['completions'] = 1;
    }
    setDefault(spec, 'parallelism', 1);
    setDefault(spec, 'backoffLimit', 6);
    setDefault(spec, 'completionMode', 'NonIndexed');
    setDefault(spec, 'suspend', false);
    setDefault(spec, 'podReplacementPolicy', 'TerminatingOrFailed');
  },
  'cronjobs.batch': (job) => {
    const spec = ensureObject(job, 'spec');
    setDefault(spec, 'concurrencyPolicy', 'Allow');
    setDefault(spec, 'suspend', false);
    setDefault(spec, 'successfulJobsHistoryLimit', 3);
    setDefault(spec, 'failedJobsHistoryLimit', 1);
    const template = at(spec, 'jobTemplate', 'spec', 'template', 'spec');
    if (isObject(template)) defaultPodSpec(template);
  },
  'horizontalpodautoscalers.autoscaling': (autoscaler) => {
    setDefault(ensureObject(autoscaler, 'spec'), 'minReplicas', 1);
  },
  'networkpolicies.networking.k8s.io': (policy) => {
    const spec = ensureObject(policy, 'spec');
    const types = own(spec, 'egress') === undefined ? ['Ingress'] : ['Ingress', 'Egress'];
    setDefault(spec, 'policyTypes', types);
  },
  'rolebindings.rbac.authorization.k8s.io': defaultBinding,
  'clusterrolebindings.rbac.authorization.k8s.io': defaultBinding,
  'validatingwebhookconfigurations.admissionregistration.k8s.io': defaultWebhooks,
  'mutatingwebhookconfigurations.admissionregistration.k8s.io': (configuration) => {
    defaultWebhooks(configuration);
    for (const webhook of objectsAt(configuration, 'webhooks')) {
      setDefault(webhook, 'reinvocationPolicy', 'Never');
    }
  },
  'priorityclasses.scheduling.k8s.io': (priority) => {
    setDefault(priority, 'value', 0);
    setDefault(priority, 'preemptionPolicy', 'PreemptLowerPriority');
  },
  'storageclasses.storage.k8s.io': (storage) => {
    setDefault(storage, 'reclaimPolicy', 'Delete');
    setDefault(storage, 'volumeBindingMode', 'Immediate');
  },
  'customresourcedefinitions.apiextensions.k8s.io': defaultCustomResourceDefinition,
};

function defaultPorts(holder: JsonObject): void {
  for (const port of objectsAt(holder, 'ports')) setDefault(port, 'protocol', 'TCP');
}

function defaultService(service: JsonObject): void {
  const spec = ensureObject(service, 'spec');
  setDefault(spec, 'type', 'ClusterIP');
  setDefault(spec, 'sessionAffinity', 'None');
  if (spec['type'] !== 'ExternalName') setDefault(spec, 'internalTrafficPolicy', 'Cluster');
  if (spec['type'] === 'NodePort' || spec['type'] === 'LoadBalancer') {
    setDefault(spec, 'externalTrafficPolicy', 'Cluster');
  }
  if (spec['type'] === 'LoadBalancer') setDefault(spec, 'allocateLoadBalancerNodePorts', true);
  if (spec['sessionAffinity'] === 'ClientIP') {
    const clientIp = ensureObject(ensureObject(spec, 'sessionAffinityConfig'), 'clientIP');
    setDefault(clientIp, 'timeoutSeconds', 10_800);
  }
  defaultPorts(spec);
  for (const port of objectsAt(spec, 'ports')) {
    const target = own(port, 'targetPort');
    if (target === undefined || target === '' || target === 0) {
      port['targetPort'] = own(port, 'port');
    }
  }
}

/** "stringData" is how people write secrets; only "data" is kept. */
function encodeStringData(secret: JsonObject): void {
  const texts = own(secret, 'stringData');
  if (!isObject(texts)) return;
  const data = ensureObject(secret, 'data');
  for (const key of Object.keys(texts)) {
    data[key] = Buffer.from(textAt(texts, key)).toString('base64');
  }
  delete secret['stringData'];
}

function defaultWorkload(object: JsonObject): JsonObject {
  const spec = ensureObject(object, 'spec');
  const template = at(spec, 'template', 'spec');
  if (isObject(template)) defaultPodSpec(template);
  return spec;
}

function defaultDeployment(deployment: JsonObject): void {
  const spec = defaultWorkload(deployment);
  setDefault(spec, 'replicas', 1);
  setDefault(spec, 'revisionHistoryLimit', 10);
  setDefault(spec, 'progressDeadlineSeconds', 600);
  const strategy = ensureObject(spec, 'strategy');
  setDefault(strategy, 'type', 'RollingUpdate');
  if (strategy['type'] !== 'RollingUpdate') return;
  const rolling = ensureObject(strategy, 'rollingUpdate');
  setDefault(rolling, 'maxUnavailable', '25%');
  setDefault(rolling, 'maxSurge', '25%');
}

function defaultBinding(binding: JsonObject): void {
  const group = 'rbac.authorization.k8s.io';
  const roleRef = own(binding, 'roleRef');
  if (isObject(roleRef)) setDefault(roleRef, 'apiGroup', group);
  for (const subject of objectsAt(binding, 'subjects')) {
    if (subject['kind'] === 'User' || subject['kind'] === 'Group') {
      setDefault(subject, 'apiGroup', group);
    }
  }
}

function defaultWebhooks(configuration: JsonObject): void {
  for (const webhook of objectsAt(configuration, 'webhooks')) {
    setDefault(webhook, 'failurePolicy', 'Fail');
    setDefault(webhook, 'matchPolicy', 'Equivalent');
    setDefault(webhook, 'timeoutSeconds', 10);
    setDefault(webhook, 'namespaceSelector', {});
    setDefault(webhook, 'objectSelector', {});
    const service = at(webhook, 'clientConfig', 'service');
    if (isObject(service)) setDefault(service, 'port', 443);
    for (const rule of objectsAt(webhook, 'rules')) setDefault(rule, 'scope', '*');
  }
}

function defaultCustomResourceDefinition(definition: JsonObject): void {
  const spec = ensureObject(definition, 'spec');
  const names = ensureObject(spec, 'names');
  const kind = textAt(names, 'kind');
  setDefault(names, 'singular', kind.toLowerCase());
  setDefault(names, 'listKind', `${kind}List`);
  setDefault(ensureObject(spec, 'conversion'), 'strategy', 'None');
}
