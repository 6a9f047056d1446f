import { parseIp } from '#common/net/address.ts';
import type { Endpoint, EndpointSlice } from '#kube/resources.ts';

import type {
  EndpointAddress,
  EndpointPort,
  EndpointSliceRecord,
  PodReference,
} from '../model/endpoint-slice.ts';
import { described } from './metadata.ts';

const SERVICE_NAME = 'kubernetes.io/service-name';

/** What is kept of an EndpointSlice; undefined for one that is of no service, or of names. */
export function endpointSliceRecord(slice: EndpointSlice): EndpointSliceRecord | undefined {
  const { namespace, name, labels } = described(slice);
  const service = labels[SERVICE_NAME];
  if (service === undefined || service === '' || slice.addressType === 'FQDN') return undefined;
  const endpoints = slice.endpoints ?? [];
  return {
    namespace,
    name,
    service,
    ports: portsOf(slice),
    pods: endpoints.flatMap((endpoint) => podOf(endpoint, namespace) ?? []),
    addresses: endpoints.flatMap((endpoint) => addressOf(endpoint) ?? []),
  };
}

function portsOf(slice: EndpointSlice): readonly EndpointPort[] {
  return (slice.ports ?? []).flatMap(({ name = '', port, protocol = 'TCP' }) =>
    port === undefined || protocol !== 'TCP' ? [] : [{ name, number: port }],
  );
}

function podOf({ targetRef }: Endpoint, namespace: string): PodReference | undefined {
  if (targetRef?.kind !== 'Pod' || targetRef.name === undefined) return undefined;
  const { name, uid = '' } = targetRef;
  return { namespace: targetRef.namespace ?? namespace, name, uid };
}

function addressOf({ addresses, conditions, targetRef }: Endpoint): EndpointAddress | undefined {
  if (targetRef?.kind === 'Pod') return undefined;
  const ip = parseIp(addresses[0] ?? '');
  return ip === undefined ? undefined : { ip, ready: conditions?.ready !== false };
}
