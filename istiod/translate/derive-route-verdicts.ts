import type { Fetch, Readable } from '../krt/core.ts';
import { DerivedCollection } from '../krt/derived.ts';
import type { Graph } from '../krt/graph.ts';
import { JoinedCollection } from '../krt/join.ts';
import type { StatedCondition } from '../model/gateway-plan.ts';
import type { RouteRecord } from '../model/route.ts';
import type { FoundParent, RouteReferences } from './route-references.ts';
import { type RouteProblem, translateRules } from './route-rules.ts';

/** The condition that every parent gets that a verdict speaks of. */
export const RESOLVED_WAYPOINTS = 'ResolvedWaypoints';

/** What the author of a route should know. */
export interface RouteVerdict {
  readonly kind: RouteRecord['kind'];
  readonly namespace: string;
  readonly name: string;
  /** Which state of the object it is about. */
  readonly generation: number | undefined;
  /** One for each service or entry that the route names as parent. */
  readonly parents: readonly {
    /** As it is written. */
    readonly ref: Readonly<Record<string, unknown>>;
    readonly conditions: readonly StatedCondition[];
  }[];
}

/** One verdict for each route that names a service or an entry as parent, by `kind/namespace/name`. */
export function deriveRouteVerdicts(
  graph: Graph,
  references: RouteReferences,
  inputs: {
    readonly httpRoutes: Readable<RouteRecord>;
    readonly grpcRoutes: Readable<RouteRecord>;
  },
): Readable<RouteVerdict> {
  function verdictOn(route: RouteRecord, fetch: Fetch): readonly RouteVerdict[] {
    const found = route.parentRefs
      .map((ref) => ({ ref, parent: references.parent(route, ref, fetch) }))
      .filter(({ parent }) => parent.kind !== 'not-ours');
    if (found.length === 0) return [];
    const problems: RouteProblem[] = [];
    const rules = translateRules(route, references.backends(fetch), problems);
    const isEmpty = rules.length === 0 && route.rules.length > 0;
    const resolved = resolvedRefs(problems);
    const { kind, namespace, name, generation } = route;
    const parents = found.map(({ ref, parent }) => ({
      ref: ref.written,
      conditions: [accepted(parent, { problems, isEmpty }), resolved, resolvedWaypoints(parent)],
    }));
    return [{ kind, namespace, name, generation, parents }];
  }
  const of = (name: string, source: Readable<RouteRecord>) =>
    new DerivedCollection<RouteRecord, RouteVerdict>(graph, name, source, {
      keyOf: verdictKey,
      transformation: verdictOn,
    });
  return new JoinedCollection<RouteVerdict>(graph, 'route verdicts', {
    keyOf: verdictKey,
    parts: [
      of('http route verdicts', inputs.httpRoutes),
      of('grpc route verdicts', inputs.grpcRoutes),
    ],
  });
}

function verdictKey({ kind, namespace, name }: RouteVerdict): string {
  return `${kind}/${namespace}/${name}`;
}

/** Whether the route is attached to a parent; what never holds is told even then. */
function accepted(
  parent: FoundParent,
  { problems, isEmpty }: { readonly problems: readonly RouteProblem[]; readonly isEmpty: boolean },
): StatedCondition {
  const type = 'Accepted';
  const no = (reason: string, message: string): StatedCondition => ({
    type,
    status: 'False',
    reason,
    message,
  });
  if (parent.kind === 'refused') return no('NoMatchingParent', parent.message);
  const wrong = problems.filter(({ kind }) => kind === 'value').map(({ message }) => message);
  if (isEmpty) return no('UnsupportedValue', told(wrong));
  const message = ['Route was valid', ...(wrong.length === 0 ? [] : [told(wrong)])].join(', but ');
  return { type, status: 'True', reason: 'Accepted', message };
}

/** Whether anybody goes by the route: never an error, as it is no fault of the route. */
function resolvedWaypoints(parent: FoundParent): StatedCondition {
  const type = RESOLVED_WAYPOINTS;
  const said = (message: string): StatedCondition => ({
    type,
    status: 'True',
    reason: type,
    message,
  });
  if (parent.kind !== 'found') return said('The route has no effect: see Accepted');
  const { use } = parent;
  return said(
    use.kind === 'used'
      ? `Waypoint ${use.waypoint} goes by the route`
      : `The route has no effect: ${use.why}`,
  );
}

const REASONS: readonly (readonly [RouteProblem['kind'], string])[] = [
  ['filter', 'InvalidFilter'],
  ['backend-kind', 'InvalidKind'],
  ['backend', 'BackendNotFound'],
  ['backend-port', 'InvalidDestinationPort'],
];

/** Problems that one condition tells. */
const MESSAGES_MAX = 8;

/** Whether all that the route refers to is there. Of several reasons the first counts. */
function resolvedRefs(problems: readonly RouteProblem[]): StatedCondition {
  const type = 'ResolvedRefs';
  const found = REASONS.flatMap(([wanted, reason]) =>
    problems.filter(({ kind }) => kind === wanted).map(({ message }) => ({ reason, message })),
  );
  const [first] = found;
  if (first === undefined)
    return { type, status: 'True', reason: 'ResolvedRefs', message: 'All references resolved' };
  const message = told(found.map((one) => one.message));
  return { type, status: 'False', reason: first.reason, message };
}

/** Each once, and of many the first: the message of a condition has a longest length. */
function told(messages: readonly string[]): string {
  const all = [...new Set(messages)];
  const more = all.length - MESSAGES_MAX;
  return [...all.slice(0, MESSAGES_MAX), ...(more > 0 ? [`and ${more} more`] : [])].join(', ');
}
