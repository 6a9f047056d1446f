import { create } from '@bufbuild/protobuf';

import {
  type Parent,
  ParentSchema,
  RouteSchema,
  type Rule,
  ServiceNameSchema,
} from '#api/gen/waypoint_pb.ts';

import type { Fetch, Readable } from '../krt/core.ts';
import { DerivedCollection } from '../krt/derived.ts';
import type { Graph } from '../krt/graph.ts';
import { JoinedCollection } from '../krt/join.ts';
import { objectKey } from '../model/metadata.ts';
import { sameVersion, type WaypointResource, waypointResourceKey } from '../model/resource.ts';
import type { RouteRecord } from '../model/route.ts';
import type { ServiceRecord } from '../model/service.ts';
import { fetchBinding, type Surroundings } from './derive-surroundings.ts';
import { routeResource } from './encode.ts';
import { translateRules } from './route-rules.ts';

/** The routes of each waypoint, one resource for each route: see {@link waypointResourceKey}. */
export function deriveWaypointRoutes(
  graph: Graph,
  around: Surroundings,
  inputs: {
    readonly httpRoutes: Readable<RouteRecord>;
    readonly grpcRoutes: Readable<RouteRecord>;
    readonly services: Readable<ServiceRecord>;
  },
): Readable<WaypointResource> {
  const of = (name: string, source: Readable<RouteRecord>) =>
    new DerivedCollection<RouteRecord, WaypointResource>(graph, name, source, {
      keyOf: waypointResourceKey,
      equal: sameVersion,
      transformation: (route, fetch) => {
        const attached = attachments(route, fetch);
        if (attached.size === 0) return [];
        const rules = translateRules(route, (namespace, service) =>
          fetch.one(inputs.services, `${namespace}/${service}`),
        );
        return Array.from(attached, ([waypoint, parents]) =>
          routeResource(waypoint, message(route, parents, rules)),
        );
      },
    });
  /** Waypoint → the services behind it that the route is attached to. */
  function attachments(route: RouteRecord, fetch: Fetch): ReadonlyMap<string, Parent[]> {
    const attached = new Map<string, Parent[]>();
    for (const { group, kind, namespace, name, port = 0 } of route.parentRefs) {
      if (group !== '' || kind !== 'Service') continue;
      const service = fetch.one(inputs.services, `${namespace}/${name}`);
      if (service === undefined) continue;
      if (port !== 0 && service.ports.every(({ number }) => number !== port)) continue;
      const { labels, hostname } = service;
      const found = fetchBinding(fetch, around, { namespace, labels, traffic: 'service' });
      if (found?.binding.kind !== 'bound') continue;
      const { waypoint } = found.binding;
      // Others may say where their own requests go, not where those of everybody do.
      if (route.namespace !== namespace && route.namespace !== waypoint.namespace) continue;
      const parent = create(ParentSchema, {
        service: create(ServiceNameSchema, { namespace, hostname }),
        port,
      });
      const key = objectKey(waypoint);
      attached.set(key, [...(attached.get(key) ?? []), parent]);
    }
    return attached;
  }
  return new JoinedCollection<WaypointResource>(graph, 'waypoint routes', {
    keyOf: waypointResourceKey,
    equal: sameVersion,
    parts: [
      of('http routes of waypoints', inputs.httpRoutes),
      of('grpc routes of waypoints', inputs.grpcRoutes),
    ],
  });
}

function message(route: RouteRecord, parents: Parent[], rules: readonly Rule[]) {
  const { kind, namespace, name, createdAt } = route;
  const createdMs = Date.parse(createdAt);
  return create(RouteSchema, {
    kind,
    namespace,
    name,
    createdMs: BigInt(Number.isNaN(createdMs) ? 0 : createdMs),
    parents,
    rules: [...rules],
  });
}
