import type { Configuration } from '#kube/resources.ts';

import type { RouteObjectKind, RouteParentRef, RouteRecord } from '../model/route.ts';
import { list, record, text, type Written } from '../model/written.ts';
import { described, port } from './metadata.ts';

const GROUP = 'gateway.networking.k8s.io';
const REF_FIELDS = ['group', 'kind', 'namespace', 'name', 'sectionName', 'port'];

/** What is kept of an HTTPRoute. */
export function httpRouteRecord(route: Configuration): RouteRecord {
  return routeRecord('HTTPRoute', route);
}

/** What is kept of a GRPCRoute. */
export function grpcRouteRecord(route: Configuration): RouteRecord {
  return routeRecord('GRPCRoute', route);
}

function routeRecord(kind: RouteObjectKind, route: Configuration): RouteRecord {
  const spec = record(route.spec);
  const base = described(route);
  return {
    ...base,
    kind,
    generation: route.metadata.generation,
    parentRefs: list(spec['parentRefs']).flatMap((ref) => parentRef(record(ref), base.namespace)),
    rules: list(spec['rules']),
  };
}

/** A port that can't be read is no parent's: nothing is attached where nobody has said so. */
function parentRef(written: Written, home: string): readonly RouteParentRef[] {
  const name = text(written['name']);
  const number = port(written['port']);
  const isAnyPort = written['port'] === undefined || written['port'] === null;
  if (name === undefined || (number === undefined && !isAnyPort)) return [];
  return [
    {
      // The empty text names a group, too: that of Services.
      group: typeof written['group'] === 'string' ? written['group'] : GROUP,
      kind: text(written['kind']) ?? 'Gateway',
      namespace: text(written['namespace']) ?? home,
      name,
      port: number,
      section: text(written['sectionName']),
      written: Object.fromEntries(
        REF_FIELDS.flatMap((field) =>
          written[field] === undefined || written[field] === null ? [] : [[field, written[field]]],
        ),
      ),
    },
  ];
}
