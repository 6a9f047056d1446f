import type { Fetch, Index, Readable } from '../krt/core.ts';
import { objectKey } from '../model/metadata.ts';
import type { RouteParentRef, RouteRecord } from '../model/route.ts';
import { type OwnedService, type ServiceRecord, serviceKey } from '../model/service.ts';
import { fetchBinding, type Surroundings } from './derive-surroundings.ts';
import {
  fetchIsWaypointClass,
  fetchServices,
  GATEWAY_GROUP,
  type ReferenceInputs,
} from './references.ts';
import type { FindBackend } from './route-rules.ts';

const WANTED = 'routes of a waypoint have services as parents: want group "", kind Service';

/** What a parentRef of a route turns out to be. */
export type FoundParent =
  /** A gateway that is no waypoint, say. */
  | { readonly kind: 'not-ours' }
  | { readonly kind: 'refused'; readonly message: string }
  | {
      readonly kind: 'found';
      readonly namespace: string;
      /** Of the service, or of each host of the entry. */
      readonly hostnames: readonly string[];
      /** 0: all. */
      readonly port: number;
      readonly use: WaypointUse;
    };

/** Whether a waypoint goes by the route. */
export type WaypointUse =
  /** `namespace/name` of the waypoint. */
  | { readonly kind: 'used'; readonly waypoint: string }
  | { readonly kind: 'unused'; readonly why: string };

/** Finds what routes refer to: their parents and their backends. */
export class RouteReferences {
  readonly #around: Surroundings;
  readonly #inputs: ReferenceInputs;
  readonly #owned: Readable<OwnedService>;
  readonly #byHostname: Index<OwnedService>;

  constructor(around: Surroundings, inputs: ReferenceInputs, owned: Readable<OwnedService>) {
    this.#around = around;
    this.#inputs = inputs;
    this.#owned = owned;
    this.#byHostname = owned.indexBy('hostname', ({ record }) => [record.hostname]);
  }

  /** What a parentRef of the route is. */
  parent(route: RouteRecord, ref: RouteParentRef, fetch: Fetch): FoundParent {
    const key = `${ref.namespace}/${ref.name}`;
    const { group, kind } = ref;
    const found = fetchServices(fetch, this.#inputs, { group, kind, key });
    if (found === undefined) return this.#stranger(ref, fetch);
    const said = `${kind === 'Service' ? 'service' : 'service entry'} ${key}`;
    const [first] = found;
    if (first === undefined) return { kind: 'refused', message: `${said} not found` };
    const port = portOf(ref, first);
    if (typeof port === 'string') return { kind: 'refused', message: `${said} ${port}` };
    const { namespace } = first;
    const hostnames = found.map(({ hostname }) => hostname);
    return { kind: 'found', namespace, hostnames, port, use: this.#use(route, first, said, fetch) };
  }

  /** Finds backends, on behalf of one transformation. */
  backends(fetch: Fetch): FindBackend {
    return {
      service: (namespace, name) => fetch.one(this.#inputs.services, `${namespace}/${name}`),
      host: (hostname, home) => {
        const own = fetch.one(this.#owned, serviceKey({ namespace: home, hostname }));
        if (own !== undefined) return own.record;
        const within = this.#byHostname.at(hostname);
        return fetch.all(this.#owned, { within }).find(({ canonical }) => canonical)?.record;
      },
    };
  }

  /** A parent that nobody serves: who forgets its group or kind names a Gateway of the Gateway API. */
  #stranger({ group, kind, namespace, name }: RouteParentRef, fetch: Fetch): FoundParent {
    if (group !== GATEWAY_GROUP) return { kind: 'not-ours' };
    const key = `${namespace}/${name}`;
    if (kind === 'Service') return refused(`there is no kind Service in group ${group}`);
    if (kind !== 'Gateway') return { kind: 'not-ours' };
    const gateway = fetch.one(this.#inputs.gateways, key);
    if (gateway === undefined) {
      const isMeant = fetch.one(this.#inputs.services, key) !== undefined;
      return isMeant ? refused(`gateway ${key} not found`) : { kind: 'not-ours' };
    }
    return fetchIsWaypointClass(fetch, this.#inputs, gateway.className)
      ? refused(`gateway ${key} is a waypoint`)
      : { kind: 'not-ours' };
  }

  #use(
    { namespace: home }: RouteRecord,
    { namespace, labels }: ServiceRecord,
    said: string,
    fetch: Fetch,
  ): WaypointUse {
    const asked = fetchBinding(fetch, this.#around, { namespace, labels, traffic: 'service' });
    if (asked === undefined) return unused(`${said} asks for no waypoint`);
    const { binding, choice } = asked;
    if (binding.kind === 'refused') {
      return unused(`${said} is not bound to waypoint ${choice.key}: ${binding.reason}`);
    }
    if (binding.kind === 'none') return unused(`${said} is not bound to a waypoint`);
    const { waypoint } = binding;
    const key = objectKey(waypoint);
    // Others may say where their own requests go, not where those of everybody do.
    if (home === namespace || home === waypoint.namespace) return { kind: 'used', waypoint: key };
    return unused(`waypoint ${key} goes by routes of its own namespace and of ${namespace}`);
  }
}

function refused(what: string): FoundParent {
  return { kind: 'refused', message: `${what}; ${WANTED}` };
}

function unused(why: string): WaypointUse {
  return { kind: 'unused', why };
}

/** A number, 0 for all; or what is wrong. A section is a port by its name. */
function portOf({ port, section }: RouteParentRef, { ports }: ServiceRecord): number | string {
  if (port !== undefined && ports.every(({ number }) => number !== port)) {
    return `has no port ${port}`;
  }
  if (section === undefined) return port ?? 0;
  const named = ports.find(({ name }) => name === section);
  if (named === undefined) return `has no port named ${section}`;
  if (port !== undefined && port !== named.number) return `has no port ${port} named ${section}`;
  return named.number;
}
