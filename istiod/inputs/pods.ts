import { type IpAddress, parseIp } from '#common/net/address.ts';
import type { OwnerReference, Pod } from '#kube/resources.ts';

import type { PodRecord } from '../model/pod.ts';
import { described } from './metadata.ts';

const REDIRECTION = 'ambient.istio.io/redirection';
const TUNNEL = 'networking.istio.io/tunnel';
const WORKLOAD_NAME = 'service.istio.io/workload-name';

/** What is kept of a pod. */
export function podRecord(pod: Pod): PodRecord {
  const { metadata, spec, status = {} } = pod;
  const labels = metadata.labels ?? {};
  const ready = status.conditions?.some(
    ({ type, status: said }) => type === 'Ready' && said === 'True',
  );
  return {
    ...described(pod),
    uid: metadata.uid ?? '',
    phase: status.phase ?? '',
    addresses: addressesOf(status),
    node: spec.nodeName ?? '',
    serviceAccount: spec.serviceAccountName ?? spec.serviceAccount ?? '',
    hostNetwork: spec.hostNetwork === true,
    ready: ready === true && metadata.deletionTimestamp === undefined,
    redirected: metadata.annotations?.[REDIRECTION] === 'enabled',
    nativeTunnel: labels[TUNNEL]?.includes('http') === true,
    workloadName: labels[WORKLOAD_NAME] ?? workloadName(pod),
    namedPorts: namedPorts(pod),
  };
}

/** All addresses, or none when one of them can't be read. */
function addressesOf(status: NonNullable<Pod['status']>): readonly IpAddress[] {
  const texts = status.podIPs?.map(({ ip }) => ip) ?? [];
  const all = texts.length > 0 ? texts : status.podIP ? [status.podIP] : [];
  const addresses = all.flatMap((one) => parseIp(one) ?? []);
  return addresses.length === all.length ? addresses : [];
}

/** Sidecars are init containers that go on running. */
function namedPorts({ spec }: Pod): ReadonlyMap<string, number> {
  const sidecars = (spec.initContainers ?? []).filter(
    ({ restartPolicy }) => restartPolicy === 'Always',
  );
  const ports = new Map<string, number>();
  for (const { ports: declared = [] } of [...spec.containers, ...sidecars]) {
    for (const { name, containerPort, protocol = 'TCP' } of declared) {
      if (name === undefined || protocol !== 'TCP' || ports.has(name)) continue;
      ports.set(name, containerPort);
    }
  }
  return ports;
}

/** The name of what made the pod, as its author knows it: of a Deployment, not of one of its ReplicaSets. */
function workloadName({ metadata }: Pod): string {
  const owner = metadata.ownerReferences?.find(({ controller }) => controller === true);
  if (metadata.generateName === undefined || owner === undefined) return metadata.name;
  const labels = metadata.labels ?? {};
  switch (owner.kind) {
    case 'ReplicaSet': {
      const hash = labels['pod-template-hash'] ?? labels['rollouts-pod-template-hash'];
      return hash === undefined ? owner.name : withoutSuffix(owner, `-${hash}`);
    }
    case 'ReplicationController':
      return labels['deploymentconfig'] ?? owner.name;
    case 'Job':
      // Jobs of a CronJob end with the time, in minutes since the epoch.
      return /^(.+)-[0-9]{8,10}$/.exec(owner.name)?.[1] ?? owner.name;
    default:
      return owner.name;
  }
}

function withoutSuffix({ name }: OwnerReference, suffix: string): string {
  return name.endsWith(suffix) ? name.slice(0, -suffix.length) : name;
}
