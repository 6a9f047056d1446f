import type { JsonObject } from './json.ts';
import { at, ensureObject, isObject, objectsAt, own, textAt } from './json.ts';

// The reference's: rw-r--r--.
const FILE_MODE = 0o644;
const TOKEN_EXPIRATION_SECONDS = 3_600;

/** Sets a field that is absent. */
export function setDefault(object: JsonObject, field: string, value: unknown): void {
  if (own(object, field) === undefined) object[field] = value;
}

/** Fills in what a PodSpec leaves open, as the reference does. `spec` is changed. */
export function defaultPodSpec(spec: JsonObject): void {
  setDefault(spec, 'dnsPolicy', 'ClusterFirst');
  setDefault(spec, 'restartPolicy', 'Always');
  setDefault(spec, 'securityContext', {});
  setDefault(spec, 'terminationGracePeriodSeconds', 30);
  setDefault(spec, 'schedulerName', 'default-scheduler');
  // The former name of serviceAccountName is kept the same.
  const account = textAt(spec, 'serviceAccountName') || textAt(spec, 'serviceAccount');
  if (account !== '') Object.assign(spec, { serviceAccountName: account, serviceAccount: account });
  const hostNetwork = own(spec, 'hostNetwork') === true;
  for (const list of ['initContainers', 'containers', 'ephemeralContainers']) {
    for (const container of objectsAt(spec, list)) defaultContainer(container, hostNetwork);
  }
  for (const volume of objectsAt(spec, 'volumes')) defaultVolume(volume);
}

/** Fills in what only a pod itself has, not the template of one. `pod` is changed. */
export function defaultPod(pod: JsonObject): void {
  const spec = ensureObject(pod, 'spec');
  setDefault(spec, 'enableServiceLinks', true);
  setDefault(spec, 'preemptionPolicy', 'PreemptLowerPriority');
  setDefault(spec, 'priority', priorityOf(textAt(spec, 'priorityClassName')));
  const tolerations = Array.isArray(spec['tolerations']) ? (spec['tolerations'] as unknown[]) : [];
  for (const key of ['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable']) {
    if (tolerations.some((toleration) => toleratesExecution(toleration, key))) continue;
    tolerations.push({ effect: 'NoExecute', key, operator: 'Exists', tolerationSeconds: 300 });
  }
  spec['tolerations'] = tolerations;
  for (const list of ['initContainers', 'containers']) {
    for (const container of objectsAt(spec, list)) requestWhatIsLimited(container);
  }
}

// The two classes that every cluster has.
const PRIORITIES: Readonly<Record<string, number>> = {
  'system-node-critical': 2_000_001_000,
  'system-cluster-critical': 2_000_000_000,
};

function priorityOf(className: string): number {
  return PRIORITIES[className] ?? 0;
}

function toleratesExecution(toleration: unknown, key: string): boolean {
  const effect = textAt(toleration, 'effect');
  const tolerated = textAt(toleration, 'key');
  return (effect === '' || effect === 'NoExecute') && (tolerated === '' || tolerated === key);
}

/** A limit without a request asks for as much. */
function requestWhatIsLimited(container: JsonObject): void {
  const limits = at(container, 'resources', 'limits');
  if (!isObject(limits)) return;
  const requests = ensureObject(ensureObject(container, 'resources'), 'requests');
  for (const name of Object.keys(limits)) setDefault(requests, name, limits[name]);
}

function defaultContainer(container: JsonObject, hostNetwork: boolean): void {
  setDefault(container, 'terminationMessagePath', '/dev/termination-log');
  setDefault(container, 'terminationMessagePolicy', 'File');
  setDefault(container, 'imagePullPolicy', pullPolicyOf(textAt(container, 'image')));
  setDefault(container, 'resources', {});
  for (const port of objectsAt(container, 'ports')) {
    setDefault(port, 'protocol', 'TCP');
    if (hostNetwork) setDefault(port, 'hostPort', own(port, 'containerPort'));
  }
  for (const variable of objectsAt(container, 'env')) {
    const fieldRef = at(variable, 'valueFrom', 'fieldRef');
    if (isObject(fieldRef)) setDefault(fieldRef, 'apiVersion', 'v1');
    const resourceRef = at(variable, 'valueFrom', 'resourceFieldRef');
    if (isObject(resourceRef)) setDefault(resourceRef, 'divisor', '0');
  }
  for (const name of ['livenessProbe', 'readinessProbe', 'startupProbe']) {
    const probe = own(container, name);
    if (isObject(probe)) defaultProbe(probe);
  }
  for (const name of ['postStart', 'preStop']) {
    const httpGet = at(container, 'lifecycle', name, 'httpGet');
    if (isObject(httpGet)) defaultHttpGet(httpGet);
  }
}

/** ":latest", or no tag at all, may name another image tomorrow. */
function pullPolicyOf(image: string): string {
  const [reference = ''] = image.split('@', 1);
  const lastPart = reference.split('/').at(-1) ?? '';
  const tag = lastPart.split(':')[1] ?? (image.includes('@') ? 'digest' : 'latest');
  return tag === 'latest' ? 'Always' : 'IfNotPresent';
}

function defaultProbe(probe: JsonObject): void {
  setDefault(probe, 'timeoutSeconds', 1);
  setDefault(probe, 'periodSeconds', 10);
  setDefault(probe, 'successThreshold', 1);
  setDefault(probe, 'failureThreshold', 3);
  const httpGet = own(probe, 'httpGet');
  if (isObject(httpGet)) defaultHttpGet(httpGet);
  const grpc = own(probe, 'grpc');
  if (isObject(grpc)) setDefault(grpc, 'service', '');
}

function defaultHttpGet(action: JsonObject): void {
  setDefault(action, 'path', '/');
  setDefault(action, 'scheme', 'HTTP');
}

function defaultVolume(volume: JsonObject): void {
  // A volume without a source is empty.
  if (Object.keys(volume).every((field) => field === 'name')) volume['emptyDir'] = {};
  for (const source of ['configMap', 'secret', 'downwardAPI', 'projected']) {
    const given = own(volume, source);
    if (isObject(given)) setDefault(given, 'defaultMode', FILE_MODE);
  }
  const hostPath = own(volume, 'hostPath');
  if (isObject(hostPath)) setDefault(hostPath, 'type', '');
  defaultFieldRefs(objectsAt(volume, 'downwardAPI', 'items'));
  for (const source of objectsAt(volume, 'projected', 'sources')) {
    const token = own(source, 'serviceAccountToken');
    if (isObject(token)) setDefault(token, 'expirationSeconds', TOKEN_EXPIRATION_SECONDS);
    defaultFieldRefs(objectsAt(source, 'downwardAPI', 'items'));
  }
}

function defaultFieldRefs(items: readonly JsonObject[]): void {
  for (const item of items) {
    const fieldRef = own(item, 'fieldRef');
    if (isObject(fieldRef)) setDefault(fieldRef, 'apiVersion', 'v1');
  }
}
