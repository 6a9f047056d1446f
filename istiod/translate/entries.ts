import { create } from '@bufbuild/protobuf';

import {
  type GatewayAddress,
  TunnelProtocol,
  type Workload,
  WorkloadSchema,
  WorkloadStatus,
  WorkloadType,
} from '#api/gen/workload_pb.ts';
import { ipToBytes } from '#common/net/address.ts';

import type { EntryAddress, EntryEndpoint } from '../model/entry.ts';
import type { MeshSettings } from '../model/mesh.ts';
import type { Described } from '../model/metadata.ts';
import type { ServicePort, ServiceRecord } from '../model/service.ts';
import { canonical, localityField, portLists, trustDomainField } from './workloads.ts';

/** A WorkloadEntry, or an endpoint of a ServiceEntry. */
export interface Entry {
  readonly kind: 'WorkloadEntry' | 'ServiceEntry';
  readonly object: Described;
  readonly workloadName: string;
  readonly endpoint: EntryEndpoint;
}

/** What an entry's message holds besides its own record. */
export interface EntrySurroundings {
  readonly mesh: MeshSettings;
  readonly network: string;
  readonly services: readonly ServiceRecord[];
  readonly policies: readonly string[];
  readonly waypoint: GatewayAddress | undefined;
}

/** The message that node tunnels get for something that is no pod. It counts as healthy: nobody probes it. */
export function entryMessage(entry: Entry, around: EntrySurroundings): Workload {
  const { endpoint, object, workloadName } = entry;
  const { mesh } = around;
  const native = tunnelLabel(endpoint, object).includes('http');
  return create(WorkloadSchema, {
    uid: entryUid(entry, mesh),
    name: object.name,
    namespace: object.namespace,
    ...addressFields(endpoint.address),
    network: endpoint.network ?? around.network,
    tunnelProtocol: native ? TunnelProtocol.HBONE : TunnelProtocol.NONE,
    nativeTunnel: native,
    trustDomain: trustDomainField(mesh),
    serviceAccount: endpoint.serviceAccount,
    ...canonical(object.labels, workloadName),
    workloadType: WorkloadType.POD,
    workloadName,
    authorizationPolicies: [...around.policies],
    status: WorkloadStatus.HEALTHY,
    clusterId: mesh.clusterId,
    services: portLists(around.services, (_service, port) => entryPort(endpoint, port)),
    ...localityField(endpoint.locality),
    ...(endpoint.weight === undefined ? {} : { capacity: endpoint.weight }),
    ...(around.waypoint === undefined ? {} : { waypoint: around.waypoint }),
  });
}

function entryUid({ kind, object, endpoint }: Entry, mesh: MeshSettings): string {
  const id = `${mesh.clusterId}/networking.istio.io/${kind}/${object.namespace}/${object.name}`;
  return kind === 'WorkloadEntry' ? id : `${id}/${addressText(endpoint.address)}`;
}

export function addressText(address: EntryAddress): string {
  switch (address.kind) {
    case 'ip':
      return address.ip;
    case 'hostname':
      return address.hostname;
    case 'none':
      return '';
  }
}

function addressFields(address: EntryAddress): Partial<Pick<Workload, 'addresses' | 'hostname'>> {
  switch (address.kind) {
    case 'ip':
      return { addresses: [ipToBytes(address.ip)] };
    case 'hostname':
      return { hostname: address.hostname };
    case 'none':
      return {};
  }
}

function tunnelLabel(endpoint: EntryEndpoint, object: Described): string {
  const name = 'networking.istio.io/tunnel';
  return endpoint.labels[name] ?? object.labels[name] ?? '';
}

/** The endpoint's own word for the service's port, then the service's. A Service's port name must be known to it. */
function entryPort(endpoint: EntryEndpoint, port: ServicePort): number | undefined {
  if (typeof port.target === 'string') return endpoint.ports.get(port.target);
  return endpoint.ports.get(port.name) ?? port.target;
}
