import type { Fetch, Readable } from '../krt/core.ts';
import { DerivedCollection } from '../krt/derived.ts';
import { type Labels, selecting } from '../krt/filter.ts';
import type { Graph } from '../krt/graph.ts';
import type { EndpointSliceRecord } from '../model/endpoint-slice.ts';
import type { ServiceEntryRecord, WorkloadEntryRecord } from '../model/entry.ts';
import { objectKey } from '../model/metadata.ts';
import type { NodeRecord } from '../model/place.ts';
import type { PodRecord } from '../model/pod.ts';
import { type AddressResource, sameVersion } from '../model/resource.ts';
import { type OwnedService, type ServiceRecord, serviceKey } from '../model/service.ts';
import type { DerivedPolicies } from './derive-policies.ts';
import type { DerivedServices } from './derive-services.ts';
import { fetchWaypoint, type Surroundings } from './derive-surroundings.ts';
import { workloadResource } from './encode.ts';
import { entryMessage } from './entries.ts';
import { endpointMessage, isPublished, podMessage } from './workloads.ts';

const GATEWAY_NAME = 'gateway.networking.k8s.io/gateway-name';

export interface WorkloadInputs {
  readonly pods: Readable<PodRecord>;
  readonly nodes: Readable<NodeRecord>;
  readonly endpointSlices: Readable<EndpointSliceRecord>;
  readonly serviceEntries: Readable<ServiceEntryRecord>;
  readonly workloadEntries: Readable<WorkloadEntryRecord>;
}

/** What every kind of workload is derived with. */
export interface WorkloadContext {
  readonly around: Surroundings;
  readonly services: DerivedServices;
  readonly policies: DerivedPolicies;
}

/** The resources of all workloads, by where they come from. */
export function deriveWorkloads(
  graph: Graph,
  context: WorkloadContext,
  inputs: WorkloadInputs,
): readonly Readable<AddressResource>[] {
  return [
    derivePods(graph, context, inputs),
    deriveEndpoints(graph, context, inputs.endpointSlices),
    deriveWorkloadEntries(graph, context, inputs.workloadEntries),
    deriveServiceEntries(graph, context, inputs.serviceEntries),
  ];
}

const resourceOptions = { keyOf: ({ name }: AddressResource) => name, equal: sameVersion };

function derivePods(graph: Graph, context: WorkloadContext, inputs: WorkloadInputs) {
  const { around, policies } = context;
  const { nodes, endpointSlices } = inputs;
  const slicesByPod = endpointSlices.indexBy('pod', ({ pods }) => pods.map(podKey));
  /** Services without a selector whose slices name the pod. */
  const fetchNaming = (fetch: Fetch, pod: PodRecord): readonly ServiceRecord[] =>
    fetch
      .all(endpointSlices, { within: slicesByPod.at(podKey(pod)) })
      .flatMap(({ namespace, service }) => fetchService(fetch, context, namespace, service) ?? [])
      .filter(({ selector }) => selector === undefined);
  return new DerivedCollection<PodRecord, AddressResource>(graph, 'pod resources', inputs.pods, {
    ...resourceOptions,
    transformation: (pod, fetch) => {
      if (!isPublished(pod)) return [];
      const gateway = pod.labels[GATEWAY_NAME];
      const ownWaypoint =
        gateway === undefined
          ? undefined
          : fetch.one(around.waypoints, `${pod.namespace}/${gateway}`);
      const waypoint =
        ownWaypoint === undefined
          ? fetchWaypoint(fetch, around, { ...pod, traffic: 'workload' })
          : undefined;
      const message = podMessage(pod, {
        mesh: around.mesh,
        network: around.network.fetch(fetch) ?? '',
        locality: fetch.one(nodes, pod.node)?.locality,
        services: unique([...fetchSelecting(fetch, context, pod), ...fetchNaming(fetch, pod)]),
        policies: policies.fetchNames(fetch, pod),
        waypoint,
        inboundBinding: ownWaypoint?.inboundBinding,
      });
      return [workloadResource(message)];
    },
  });
}

function deriveEndpoints(
  graph: Graph,
  context: WorkloadContext,
  endpointSlices: Readable<EndpointSliceRecord>,
) {
  const { around } = context;
  return new DerivedCollection<EndpointSliceRecord, AddressResource>(
    graph,
    'endpoint resources',
    endpointSlices,
    {
      ...resourceOptions,
      transformation: (slice, fetch) => {
        if (slice.addresses.length === 0) return [];
        const service = fetchService(fetch, context, slice.namespace, slice.service);
        const network = around.network.fetch(fetch) ?? '';
        const services = service === undefined ? [] : [service];
        const resources = slice.addresses.map((endpoint) =>
          workloadResource(
            endpointMessage(slice, endpoint, { mesh: around.mesh, network, services }),
          ),
        );
        return oneEach(resources);
      },
    },
  );
}

function deriveWorkloadEntries(
  graph: Graph,
  context: WorkloadContext,
  workloadEntries: Readable<WorkloadEntryRecord>,
) {
  const { around, policies } = context;
  return new DerivedCollection<WorkloadEntryRecord, AddressResource>(
    graph,
    'workload entry resources',
    workloadEntries,
    {
      ...resourceOptions,
      transformation: (record, fetch) => {
        const { endpoint, workloadName } = record;
        const message = entryMessage(
          { kind: 'WorkloadEntry', object: record, workloadName, endpoint },
          {
            mesh: around.mesh,
            network: around.network.fetch(fetch) ?? '',
            services: fetchSelecting(fetch, context, record),
            policies: policies.fetchNames(fetch, record),
            waypoint: fetchWaypoint(fetch, around, { ...record, traffic: 'workload' }),
          },
        );
        return [workloadResource(message)];
      },
    },
  );
}

function deriveServiceEntries(
  graph: Graph,
  context: WorkloadContext,
  serviceEntries: Readable<ServiceEntryRecord>,
) {
  const { around, policies } = context;
  return new DerivedCollection<ServiceEntryRecord, AddressResource>(
    graph,
    'service entry resources',
    serviceEntries,
    {
      ...resourceOptions,
      transformation: (record, fetch) => {
        const owned = record.services.filter((service) =>
          isOwner(fetch.one(context.services.owned, serviceKey(service)), service),
        );
        const network = around.network.fetch(fetch) ?? '';
        const names = policies.fetchNames(fetch, record);
        const resources = serviceEntryEndpoints(record, owned).map(({ endpoint, services }) => {
          const labelled = { namespace: record.namespace, labels: endpoint.labels };
          const message = entryMessage(
            { kind: 'ServiceEntry', object: record, workloadName: record.name, endpoint },
            {
              mesh: around.mesh,
              network,
              services,
              policies: names,
              waypoint: record.byDns
                ? undefined
                : fetchWaypoint(fetch, around, { ...labelled, traffic: 'workload' }),
            },
          );
          return workloadResource(message);
        });
        return oneEach(resources);
      },
    },
  );
}

/** Each endpoint with the hosts that it serves; an entry without any has one for each host, found by DNS. */
function serviceEntryEndpoints(record: ServiceEntryRecord, owned: readonly ServiceRecord[]) {
  if (owned.length === 0) return [];
  if (!record.byDns) return record.endpoints.map((endpoint) => ({ endpoint, services: owned }));
  return owned.map((service) => ({
    services: [service],
    endpoint: {
      address: { kind: 'hostname', hostname: service.hostname } as const,
      ports: new Map<string, number>(),
      labels: record.labels,
      network: undefined,
      locality: { region: '', zone: '', subzone: '' },
      weight: undefined,
      serviceAccount: '',
    },
  }));
}

function isOwner(owner: OwnedService | undefined, service: ServiceRecord): boolean {
  return owner?.record.kind === service.kind && owner.record.name === service.name;
}

function fetchSelecting(
  fetch: Fetch,
  { services }: WorkloadContext,
  workload: { readonly namespace: string; readonly labels: Labels },
): readonly ServiceRecord[] {
  const owned = fetch.all(services.owned, {
    within: services.ownedByNamespace.at(workload.namespace),
    where: selecting(workload.labels, ({ record }: OwnedService) => record.selector),
  });
  return owned.map(({ record }) => record);
}

function fetchService(
  fetch: Fetch,
  { services, around }: WorkloadContext,
  namespace: string,
  name: string,
): ServiceRecord | undefined {
  const hostname = `${name}.${namespace}.svc.${around.mesh.domain}`;
  return fetch.one(services.owned, serviceKey({ namespace, hostname }))?.record;
}

function unique(services: readonly ServiceRecord[]): readonly ServiceRecord[] {
  return [...new Map(services.map((service) => [serviceKey(service), service])).values()];
}

/** An address that is written twice counts once, as it is written first. */
function oneEach(resources: readonly AddressResource[]): readonly AddressResource[] {
  return [...new Map(resources.toReversed().map((one) => [one.name, one])).values()];
}

function podKey(pod: { namespace: string; name: string; uid: string }): string {
  return `${objectKey({ namespace: pod.namespace, name: pod.name })}/${pod.uid}`;
}
