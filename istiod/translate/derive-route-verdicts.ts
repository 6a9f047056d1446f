import type { Fetch, Readable } from '../krt/core.ts';
import { DerivedCollection } from '../krt/derived.ts';
import type { Graph } from '../krt/graph.ts';
import { JoinedCollection } from '../krt/join.ts';
import type { StatedCondition } from '../model/gateway-plan.ts';
import type { RouteParentRef, RouteRecord } from '../model/route.ts';
import type { ServiceRecord } from '../model/service.ts';
import { type RouteProblem, translateRules } from './route-rules.ts';

/** What the author of a route should know. */
export interface RouteVerdict {
  readonly kind: RouteRecord['kind'];
  readonly namespace: string;
  readonly name: string;
  /** Which state of the object it is about. */
  readonly generation: number | undefined;
  /** One for each service that the route names as parent. */
  readonly parents: readonly {
    readonly ref: RouteParentRef;
    readonly conditions: readonly StatedCondition[];
  }[];
}

/** One verdict for each route that names a service as parent, by `kind/namespace/name`. */
export function deriveRouteVerdicts(
  graph: Graph,
  inputs: {
    readonly httpRoutes: Readable<RouteRecord>;
    readonly grpcRoutes: Readable<RouteRecord>;
    readonly services: Readable<ServiceRecord>;
  },
): Readable<RouteVerdict> {
  function verdictOn(route: RouteRecord, fetch: Fetch): readonly RouteVerdict[] {
    const refs = route.parentRefs.filter(({ group, kind }) => group === '' && kind === 'Service');
    if (refs.length === 0) return [];
    const problems: RouteProblem[] = [];
    const find = (home: string, service: string) =>
      fetch.one(inputs.services, `${home}/${service}`);
    const rules = translateRules(route, find, problems);
    const isEmpty = rules.length === 0 && route.rules.length > 0;
    const resolved = resolvedRefs(problems);
    const { kind, namespace, name, generation } = route;
    const parents = refs.map((ref) => ({
      ref,
      conditions: [accepted(ref, find(ref.namespace, ref.name), { problems, isEmpty }), resolved],
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
  { namespace, name, port }: RouteParentRef,
  service: ServiceRecord | undefined,
  { problems, isEmpty }: { readonly problems: readonly RouteProblem[]; readonly isEmpty: boolean },
): StatedCondition {
  const type = 'Accepted';
  const no = (reason: string, message: string): StatedCondition => ({
    type,
    status: 'False',
    reason,
    message,
  });
  if (service === undefined)
    return no('NoMatchingParent', `service ${namespace}/${name} not found`);
  if (port !== undefined && service.ports.every(({ number }) => number !== port))
    return no('NoMatchingParent', `service ${namespace}/${name} has no port ${port}`);
  const wrong = problems.filter(({ kind }) => kind === 'value').map(({ message }) => message);
  if (isEmpty) return no('UnsupportedValue', wrong.join(', '));
  const message = ['Route was valid', ...wrong].join(', but ');
  return { type, status: 'True', reason: 'Accepted', message };
}

const REASONS: readonly (readonly [RouteProblem['kind'], string])[] = [
  ['filter', 'InvalidFilter'],
  ['backend-kind', 'InvalidKind'],
  ['backend', 'BackendNotFound'],
  ['backend-port', 'InvalidDestinationPort'],
];

/** Whether all that the route refers to is there. */
function resolvedRefs(problems: readonly RouteProblem[]): StatedCondition {
  const type = 'ResolvedRefs';
  for (const [wanted, reason] of REASONS) {
    const found = problems.filter(({ kind }) => kind === wanted).map(({ message }) => message);
    if (found.length > 0)
      return { type, status: 'False', reason, message: [...new Set(found)].join(', ') };
  }
  return { type, status: 'True', reason: 'ResolvedRefs', message: 'All references resolved' };
}
