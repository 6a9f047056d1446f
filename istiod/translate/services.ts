import { create } from '@bufbuild/protobuf';

import {
  type GatewayAddress,
  IPFamilies,
  type LoadBalancing,
  NetworkAddressSchema,
  PortSchema,
  type Service,
  ServiceSchema,
  Service_Visibility as Visibility,
} from '#api/gen/workload_pb.ts';
import { ipToBytes } from '#common/net/address.ts';

import { olderFirst } from '../model/metadata.ts';
import type { OwnedService, ServiceAddress, ServiceRecord } from '../model/service.ts';

/** What a service's message holds besides its own record. */
export interface ServiceSurroundings {
  readonly network: string;
  readonly loadBalancing: LoadBalancing | undefined;
  readonly waypoint: GatewayAddress | undefined;
  readonly ingressUseWaypoint: boolean;
}

/** The message that node tunnels get for a service. */
export function serviceMessage(
  { record, canonical }: OwnedService,
  { network, loadBalancing, waypoint, ingressUseWaypoint }: ServiceSurroundings,
): Service {
  return create(ServiceSchema, {
    name: record.name,
    namespace: record.namespace,
    hostname: record.hostname,
    addresses: record.addresses.map((address) => networkAddress(network, address)),
    ports: record.ports.map(({ number, target, protocol }) =>
      create(PortSchema, {
        servicePort: number,
        targetPort: typeof target === 'number' ? target : 0,
        appProtocol: protocol,
      }),
    ),
    subjectAltNames: [...record.subjectAltNames],
    ipFamilies: ipFamilies(record.families),
    canonical,
    visibility: record.visibility,
    ...(loadBalancing === undefined ? {} : { loadBalancing }),
    ...(waypoint === undefined ? {} : { waypoint, ingressUseWaypoint }),
  });
}

/**
 * Who has a host name: in each namespace a Service before a ServiceEntry, then the oldest. Of the owners,
 * one is canonical: a Service, or else the oldest ServiceEntry that other namespaces can see.
 */
export function ownership(
  candidate: ServiceRecord,
  sameHostname: readonly ServiceRecord[],
): OwnedService | undefined {
  const ranked = sameHostname.toSorted(byRank);
  const inNamespace = ranked.filter(({ namespace }) => namespace === candidate.namespace);
  if (inNamespace[0] !== undefined && !isSame(inNamespace[0], candidate)) return undefined;
  const canonical = ranked.find(
    ({ kind, visibility }) => kind === 'Service' || visibility !== Visibility.NAMESPACE,
  );
  return {
    record: candidate,
    canonical: canonical !== undefined && isSame(canonical, candidate),
  };
}

function byRank(one: ServiceRecord, other: ServiceRecord): number {
  if (one.kind !== other.kind) return one.kind === 'Service' ? -1 : 1;
  return olderFirst(one, other);
}

function isSame(one: ServiceRecord, other: ServiceRecord): boolean {
  return one.kind === other.kind && one.namespace === other.namespace && one.name === other.name;
}

function networkAddress(network: string, { ip, prefixLength }: ServiceAddress) {
  return create(NetworkAddressSchema, {
    network,
    address: ipToBytes(ip),
    ...(prefixLength === undefined ? {} : { length: prefixLength }),
  });
}

function ipFamilies(families: readonly string[]): IPFamilies {
  const v4 = families.includes('IPv4');
  const v6 = families.includes('IPv6');
  if (v4 && v6) return IPFamilies.DUAL;
  if (v4) return IPFamilies.IPV4_ONLY;
  return v6 ? IPFamilies.IPV6_ONLY : IPFamilies.AUTOMATIC;
}
