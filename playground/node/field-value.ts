import { parseQuantity } from '#kube/quantity.ts';
import type { Container, Pod, StringMap } from '#kube/resources.ts';

import { dividedQuantity } from './quantity.ts';

/** What is known of a pod's place when its containers start. */
export interface PodPlace {
  readonly nodeName: string;
  readonly hostIp: string;
  readonly podIp: string;
  /** Of the node, for limits that are not set. */
  readonly cpus: number;
  readonly memoryBytes: number;
}

/** The value of a `fieldRef`; undefined for a path that does not exist. Labels and annotations as a whole are lines `key="value"`. */
export function fieldValue(pod: Pod, place: PodPlace, path: string): string | undefined {
  const { metadata, spec } = pod;
  const keyed = /^metadata\.(labels|annotations)\['([^']+)'\]$/.exec(path);
  if (keyed !== null) {
    const [, kind, key = ''] = keyed;
    return (kind === 'labels' ? metadata.labels : metadata.annotations)?.[key] ?? '';
  }
  switch (path) {
    case 'metadata.name':
      return metadata.name;
    case 'metadata.namespace':
      return metadata.namespace ?? '';
    case 'metadata.uid':
      return metadata.uid ?? '';
    case 'metadata.labels':
      return formatMap(metadata.labels ?? {});
    case 'metadata.annotations':
      return formatMap(metadata.annotations ?? {});
    case 'spec.nodeName':
      return place.nodeName;
    case 'spec.serviceAccountName':
      return spec.serviceAccountName ?? 'default';
    case 'status.hostIP':
    case 'status.hostIPs':
      return place.hostIp;
    case 'status.podIP':
    case 'status.podIPs':
      return place.podIp;
    default:
      return undefined;
  }
}

/** The value of a `resourceFieldRef`; undefined for a resource that does not exist. */
export function resourceValue(
  container: Container,
  place: PodPlace,
  reference: { readonly resource: string; readonly divisor?: string },
): string | undefined {
  const [kind, name = ''] = reference.resource.split('.');
  if (kind !== 'limits' && kind !== 'requests') return undefined;
  if (!['cpu', 'memory', 'ephemeral-storage'].includes(name)) return undefined;
  const { limits, requests } = container.resources ?? {};
  const set =
    kind === 'limits'
      ? parseQuantity(limits?.[name] ?? '')
      : parseQuantity(requests?.[name] ?? limits?.[name] ?? '0');
  const value = set ?? ownOfNode(place, name);
  return dividedQuantity(value, reference.divisor);
}

/** A container without a limit may take what the node has. */
function ownOfNode(place: PodPlace, resource: string): number {
  if (resource === 'cpu') return place.cpus;
  return resource === 'memory' ? place.memoryBytes : 0;
}

function formatMap(map: StringMap): string {
  return Object.entries(map)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .join('\n');
}
