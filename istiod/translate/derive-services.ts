import type { Fetch, Index, Readable } from '../krt/core.ts';
import { DerivedCollection } from '../krt/derived.ts';
import type { Graph } from '../krt/graph.ts';
import { JoinedCollection } from '../krt/join.ts';
import type { ServiceEntryRecord } from '../model/entry.ts';
import { type AddressResource, sameVersion } from '../model/resource.ts';
import { type OwnedService, type ServiceRecord, serviceKey } from '../model/service.ts';
import { fetchWaypoint, type Surroundings } from './derive-surroundings.ts';
import { serviceResource } from './encode.ts';
import { loadBalancing } from './load-balancing.ts';
import { ownership, serviceMessage } from './services.ts';
import { ingressLabel } from './waypoints.ts';

export interface DerivedServices {
  /** By `namespace/hostname`. */
  readonly owned: Readable<OwnedService>;
  readonly ownedByNamespace: Index<OwnedService>;
  readonly resources: Readable<AddressResource>;
}

export function deriveServices(
  graph: Graph,
  around: Surroundings,
  inputs: {
    readonly services: Readable<ServiceRecord>;
    readonly serviceEntries: Readable<ServiceEntryRecord>;
  },
): DerivedServices {
  const fromEntries = new DerivedCollection<ServiceEntryRecord, ServiceRecord>(
    graph,
    'services of service entries',
    inputs.serviceEntries,
    { keyOf: candidateKey, transformation: ({ services }) => services },
  );
  // The keys of the two don't meet: one has two parts, the other three.
  const candidates = new JoinedCollection<ServiceRecord>(graph, 'services with rivals', {
    keyOf: candidateKey,
    parts: [inputs.services, fromEntries],
  });
  const byHostname = candidates.indexBy('hostname', ({ hostname }) => [hostname]);
  const owned = new DerivedCollection<ServiceRecord, OwnedService>(graph, 'services', candidates, {
    keyOf: ({ record }) => serviceKey(record),
    transformation: (candidate, fetch) => {
      const rivals = fetch.all(candidates, { within: byHostname.at(candidate.hostname) });
      const service = ownership(candidate, rivals);
      return service === undefined ? [] : [service];
    },
  });
  const byAddress = inputs.services.indexBy('address', ({ addresses }) =>
    addresses.map(({ ip }) => ip),
  );
  /**
   * Without the addresses of other namespaces' Services. Whoever may write entries in one namespace could otherwise write
   * the addresses of all, or those that the next Services will get, and have what is sent there.
   */
  const fetchUnclaimed = (fetch: Fetch, service: OwnedService): OwnedService => {
    const { record } = service;
    if (record.kind === 'Service') return service;
    const isOthers = ({ namespace }: ServiceRecord) => namespace !== record.namespace;
    const addresses = record.addresses.filter(
      ({ ip }) =>
        fetch.all(inputs.services, { within: byAddress.at(ip), where: isOthers }).length === 0,
    );
    return { ...service, record: { ...record, addresses } };
  };
  const resources = new DerivedCollection<OwnedService, AddressResource>(
    graph,
    'service resources',
    owned,
    {
      keyOf: ({ name }) => name,
      equal: sameVersion,
      transformation: (service, fetch) => {
        const { record } = service;
        const namespace = fetch.one(around.namespaces, record.namespace);
        const message = serviceMessage(fetchUnclaimed(fetch, service), {
          network: around.network.fetch(fetch) ?? '',
          loadBalancing: loadBalancing(record.balancing, namespace),
          waypoint: fetchWaypoint(fetch, around, { ...record, traffic: 'service' }),
          ingressUseWaypoint: ingressLabel(record.labels, namespace) === true,
        });
        return [serviceResource(message)];
      },
    },
  );
  const ownedByNamespace = owned.indexBy('namespace', ({ record }) => [record.namespace]);
  return { owned, ownedByNamespace, resources };
}

/** A ServiceEntry has several hosts. */
function candidateKey({ kind, namespace, name, hostname }: ServiceRecord): string {
  return kind === 'Service' ? `${namespace}/${name}` : `${namespace}/${name}/${hostname}`;
}
