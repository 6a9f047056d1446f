import { create } from '@bufbuild/protobuf';

import {
  type Parent,
  ParentSchema,
  RouteSchema,
  type Rule,
  ServiceNameSchema,
} from '#api/gen/waypoint_pb.ts';

import type { Readable } from '../krt/core.ts';
import { DerivedCollection } from '../krt/derived.ts';
import type { Graph } from '../krt/graph.ts';
import { JoinedCollection } from '../krt/join.ts';
import { sameVersion, type WaypointResource, waypointResourceKey } from '../model/resource.ts';
import type { RouteRecord } from '../model/route.ts';
import { routeResource } from './encode.ts';
import type { FoundParent, RouteReferences } from './route-references.ts';
import { translateRules } from './route-rules.ts';

/** The routes of each waypoint, one resource for each route: see {@link waypointResourceKey}. */
export function deriveWaypointRoutes(
  graph: Graph,
  references: RouteReferences,
  inputs: {
    readonly httpRoutes: Readable<RouteRecord>;
    readonly grpcRoutes: Readable<RouteRecord>;
  },
): Readable<WaypointResource> {
  const of = (name: string, source: Readable<RouteRecord>) =>
    new DerivedCollection<RouteRecord, WaypointResource>(graph, name, source, {
      keyOf: waypointResourceKey,
      equal: sameVersion,
      transformation: (route, fetch) => {
        const attached = attachments(
          route.parentRefs.map((ref) => references.parent(route, ref, fetch)),
        );
        if (attached.size === 0) return [];
        const rules = translateRules(route, references.backends(fetch));
        return Array.from(attached, ([waypoint, parents]) =>
          routeResource(waypoint, message(route, parents, rules)),
        );
      },
    });
  return new JoinedCollection<WaypointResource>(graph, 'waypoint routes', {
    keyOf: waypointResourceKey,
    equal: sameVersion,
    parts: [
      of('http routes of waypoints', inputs.httpRoutes),
      of('grpc routes of waypoints', inputs.grpcRoutes),
    ],
  });
}

/** Waypoint → the services behind it that the route is attached to. */
function attachments(found: readonly FoundParent[]): ReadonlyMap<string, readonly Parent[]> {
  const attached = new Map<string, readonly Parent[]>();
  for (const parent of found) {
    if (parent.kind !== 'found' || parent.use.kind !== 'used') continue;
    const { namespace, hostnames, port, use } = parent;
    const parents = hostnames.map((hostname) =>
      create(ParentSchema, { service: create(ServiceNameSchema, { namespace, hostname }), port }),
    );
    attached.set(use.waypoint, [...(attached.get(use.waypoint) ?? []), ...parents]);
  }
  return attached;
}

function message(route: RouteRecord, parents: readonly Parent[], rules: readonly Rule[]) {
  const { kind, namespace, name, createdAt } = route;
  const createdMs = Date.parse(createdAt);
  return create(RouteSchema, {
    kind,
    namespace,
    name,
    createdMs: BigInt(Number.isNaN(createdMs) ? 0 : createdMs),
    parents: [...parents],
    rules: [...rules],
  });
}
