import type { Readable } from '../krt/core.ts';
import { DerivedCollection } from '../krt/derived.ts';
import type { Graph } from '../krt/graph.ts';
import type { GatewayPlan } from '../model/gateway-plan.ts';
import { objectKey } from '../model/metadata.ts';
import { isFinished, type PodRecord } from '../model/pod.ts';
import type { ServiceRecord } from '../model/service.ts';
import type { GatewayClassRecord, GatewayRecord } from '../model/waypoint.ts';
import type { Surroundings } from './derive-surroundings.ts';
import { gatewayStatus } from './gateway-status.ts';
import { gatewayProblem, isOurs } from './waypoint-gateways.ts';
import { GATEWAY_NAME, waypointObjects } from './waypoint-objects.ts';

/** One plan for each Gateway that this control plane makes a waypoint of, by `namespace/name`. */
export function deriveGateways(
  graph: Graph,
  around: Surroundings,
  inputs: {
    readonly gateways: Readable<GatewayRecord>;
    readonly gatewayClasses: Readable<GatewayClassRecord>;
    readonly services: Readable<ServiceRecord>;
    readonly pods: Readable<PodRecord>;
  },
): Readable<GatewayPlan> {
  const { mesh } = around;
  const podsOfGateway = inputs.pods.indexBy('gateway', ({ namespace, labels }) => {
    const name = labels[GATEWAY_NAME];
    return name === undefined ? [] : [`${namespace}/${name}`];
  });
  return new DerivedCollection<GatewayRecord, GatewayPlan>(
    graph,
    'gateway plans',
    inputs.gateways,
    {
      keyOf: objectKey,
      transformation: (gateway, fetch) => {
        const gatewayClass = fetch.one(inputs.gatewayClasses, gateway.className);
        const namespace = fetch.one(around.namespaces, gateway.namespace);
        const { revision } = mesh;
        if (gateway.deleting || !isOurs(gateway, { gatewayClass, namespace, revision })) return [];
        const problem = gatewayProblem(gateway, gatewayClass);
        const network = around.network.fetch(fetch) ?? '';
        const pods = fetch.all(inputs.pods, { within: podsOfGateway.at(objectKey(gateway)) });
        const presence = {
          problem,
          service: fetch.one(inputs.services, objectKey(gateway)),
          ready: pods.some((pod) => pod.ready && !isFinished(pod)),
        };
        const { name, uid, generation } = gateway;
        return [
          {
            namespace: gateway.namespace,
            name,
            uid,
            generation,
            objects: problem === undefined ? waypointObjects(gateway, { mesh, network }) : [],
            status: gatewayStatus(gateway, presence),
          },
        ];
      },
    },
  );
}
