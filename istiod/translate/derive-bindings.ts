import type { Fetch, Readable } from '../krt/core.ts';
import { DerivedCollection } from '../krt/derived.ts';
import type { Graph } from '../krt/graph.ts';
import { JoinedCollection } from '../krt/join.ts';
import type { ServiceEntryRecord, WorkloadEntryRecord } from '../model/entry.ts';
import type { Described } from '../model/metadata.ts';
import type { ServiceRecord } from '../model/service.ts';
import type { GatewayRecord } from '../model/waypoint.ts';
import { fetchBinding, type Surroundings } from './derive-surroundings.ts';
import { type BindingVerdict, explainBinding, ingressLabel } from './waypoints.ts';

type Kind = BindingVerdict['kind'];

/** One verdict for each service and entry that asks for a waypoint, by `kind/namespace/name`. */
export function deriveBindings(
  graph: Graph,
  around: Surroundings,
  inputs: {
    readonly services: Readable<ServiceRecord>;
    readonly serviceEntries: Readable<ServiceEntryRecord>;
    readonly workloadEntries: Readable<WorkloadEntryRecord>;
    readonly gateways: Readable<GatewayRecord>;
  },
): Readable<BindingVerdict> {
  const of = <T extends Described>(name: string, kind: Kind, source: Readable<T>) =>
    new DerivedCollection<T, BindingVerdict>(graph, name, source, {
      keyOf: verdictKey,
      transformation: (object, fetch) => verdictOn(kind, object, fetch),
    });
  function verdictOn(kind: Kind, object: Described, fetch: Fetch): readonly BindingVerdict[] {
    const { namespace, name, labels } = object;
    const traffic = kind === 'WorkloadEntry' ? 'workload' : 'service';
    const found = fetchBinding(fetch, around, { namespace, labels, traffic });
    if (found === undefined) return [];
    const { choice, binding } = found;
    const explained = explainBinding(choice, binding, {
      traffic,
      exists: fetch.one(inputs.gateways, choice.key) !== undefined,
      ingress:
        kind === 'WorkloadEntry'
          ? undefined
          : ingressLabel(labels, fetch.one(around.namespaces, namespace)),
    });
    return explained === undefined ? [] : [{ kind, namespace, name, ...explained }];
  }
  return new JoinedCollection<BindingVerdict>(graph, 'waypoint bindings', {
    keyOf: verdictKey,
    parts: [
      of('waypoint bindings of services', 'Service', inputs.services),
      of('waypoint bindings of service entries', 'ServiceEntry', inputs.serviceEntries),
      of('waypoint bindings of workload entries', 'WorkloadEntry', inputs.workloadEntries),
    ],
  });
}

function verdictKey({ kind, namespace, name }: BindingVerdict): string {
  return `${kind}/${namespace}/${name}`;
}
