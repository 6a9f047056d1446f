import { parseIp } from '#common/net/address.ts';
import { cidrContains, ipToWords } from '#common/net/cidr.ts';
import { encodeResource } from '#xds/resource.ts';
import type { ResourceSource } from '#xds/server-stream.ts';
import type { Index, Readable } from '../krt/core.ts';
import {
  type AddressBlock,
  type AddressResource,
  type PolicyResource,
  type WaypointResource,
  waypointResourceKey,
} from '../model/resource.ts';
import type { Mesh } from '../translate/derive-mesh.ts';

export const ADDRESS_TYPE = 'type.googleapis.com/istio.workload.Address';
export const AUTHORIZATION_TYPE = 'type.googleapis.com/istio.security.Authorization';
export const ROUTE_TYPE = 'type.googleapis.com/ambit.waypoint.Route';
export const WAYPOINT_POLICY_TYPE = 'type.googleapis.com/ambit.waypoint.Policy';

/** The entry of a response for each resource, made once for all clients and forgotten with the resource. */
export class EncodedResources {
  readonly #plain = new WeakMap<object, Uint8Array>();
  readonly #aliased = new WeakMap<object, Uint8Array>();

  address(resource: AddressResource, withAliases: boolean): Uint8Array {
    const cache = withAliases ? this.#aliased : this.#plain;
    return kept(cache, resource, () =>
      encodeResource({
        ...resource,
        typeUrl: ADDRESS_TYPE,
        aliases: withAliases ? resource.aliases : [],
      }),
    );
  }

  /** One that nobody asks for by another name. */
  unaliased(resource: PolicyResource | WaypointResource, typeUrl: string): Uint8Array {
    return kept(this.#plain, resource, () => encodeResource({ ...resource, typeUrl, aliases: [] }));
  }
}

/** Who asks, as far as it matters for what is sent. */
export interface Asking {
  /** The client's own; its workloads are sent unasked. */
  readonly node: string;
  /** The waypoint that its token says it is, `namespace/name`; undefined: it is none. */
  readonly waypoint: string | undefined;
}

/**
 * What a client can ask for, in the order in which changes have to arrive: a policy comes before the
 * workloads that refer to it, and goes after them. Only a waypoint can ask for routes and layer 7 policies,
 * and is sent its own.
 */
export function sourcesFor(
  mesh: Mesh,
  encoded: EncodedResources,
  { node, waypoint }: Asking,
): readonly ResourceSource[] {
  const forNodes = [policySource(mesh, encoded), addressSource(mesh, encoded, node)];
  if (waypoint === undefined) return forNodes;
  const policies = { resources: mesh.waypointPolicies, index: mesh.waypointPoliciesByWaypoint };
  const routes = { resources: mesh.waypointRoutes, index: mesh.waypointRoutesByWaypoint };
  return [
    ...forNodes,
    waypointSource({ ...policies, typeUrl: WAYPOINT_POLICY_TYPE, waypoint, encoded }),
    waypointSource({ ...routes, typeUrl: ROUTE_TYPE, waypoint, encoded }),
  ];
}

function waypointSource(of: {
  readonly resources: Readable<WaypointResource>;
  readonly index: Index<WaypointResource>;
  readonly typeUrl: string;
  readonly waypoint: string;
  readonly encoded: EncodedResources;
}): ResourceSource {
  const { resources, index, typeUrl, waypoint, encoded } = of;
  const own = waypointResourceKey({ waypoint, name: '' });
  return {
    ...namedSource({
      typeUrl,
      get: (name) => resources.get(waypointResourceKey({ waypoint, name })),
      all: () => index.lookup(waypoint),
      encoded,
    }),
    nameOf: (key) => (key.startsWith(own) ? key.slice(own.length) : undefined),
  };
}

function policySource({ policies }: Mesh, encoded: EncodedResources): ResourceSource {
  return namedSource({
    typeUrl: AUTHORIZATION_TYPE,
    get: (name) => policies.get(name),
    all: () => policies.values(),
    encoded,
  });
}

/** Of what is asked for by its name alone. */
function namedSource(of: {
  readonly typeUrl: string;
  readonly get: (name: string) => PolicyResource | WaypointResource | undefined;
  readonly all: ResourceSource['all'];
  readonly encoded: EncodedResources;
}): ResourceSource {
  const { typeUrl, get, all, encoded } = of;
  return {
    typeUrl,
    all,
    encoded: (name) => {
      const found = get(name);
      return found && encoded.unaliased(found, typeUrl);
    },
    lookup: (name) => (get(name) === undefined ? [] : [name]),
    always: () => [],
    concerns: (name, asked) => asked.has(name),
  };
}

function addressSource(mesh: Mesh, encoded: EncodedResources, node: string): ResourceSource {
  const { addresses } = mesh;
  return {
    typeUrl: ADDRESS_TYPE,
    all: () => addresses.values(),
    encoded: (name, withAliases) => {
      const address = addresses.get(name);
      return address === undefined ? undefined : encoded.address(address, withAliases);
    },
    lookup: (name) => lookup(mesh, name),
    always: () => (node === '' ? [] : namesOf(mesh.addressesByNode.lookup(node))),
    concerns: (name, asked) => {
      if (asked.has(name)) return true;
      const address = addresses.get(name);
      if (address === undefined) return false;
      return (
        (node !== '' && address.node === node) ||
        address.aliases.some((alias) => asked.has(alias)) ||
        address.services.some((service) => asked.has(service)) ||
        (address.blocks.length > 0 && [...asked].some((one) => isInBlocks(one, address.blocks)))
      );
    },
  };
}

/**
 * A workload stands for itself; a service for itself and its workloads; an address for what has it. An address
 * in a block also stands for itself, which nothing is called by: that it is answered as gone tells who asked
 * that all there is has been told.
 */
function lookup(mesh: Mesh, name: string): readonly string[] {
  const own = mesh.addresses.get(name);
  const found = own === undefined ? mesh.addressesByAlias.lookup(name) : [own];
  const workloads = found.filter(({ kind }) => kind === 'workload');
  // An address is a workload's before it is a service's.
  if (workloads.length > 0) return namesOf(workloads);
  if (found.length > 0) return withWorkloads(mesh, found);
  const owners = mesh.blockOwners().filter(({ blocks }) => isInBlocks(name, blocks));
  return owners.length === 0 ? [] : [...withWorkloads(mesh, owners), name];
}

function withWorkloads(mesh: Mesh, services: readonly AddressResource[]): readonly string[] {
  return services.flatMap((service) => [
    service.name,
    ...namesOf(mesh.addressesByService.lookup(service.name)),
  ]);
}

/** `name`: `network/address`, or something else, which is in no block. */
function isInBlocks(name: string, blocks: readonly AddressBlock[]): boolean {
  const slash = name.indexOf('/');
  const ip = slash === -1 ? undefined : parseIp(name.slice(slash + 1));
  if (ip === undefined) return false;
  const words = ipToWords(ip);
  const network = name.slice(0, slash);
  return blocks.some((block) => block.network === network && cidrContains(block.cidr, words));
}

function namesOf(resources: readonly { readonly name: string }[]): readonly string[] {
  return resources.map(({ name }) => name);
}

function kept(
  cache: WeakMap<object, Uint8Array>,
  resource: object,
  make: () => Uint8Array,
): Uint8Array {
  const before = cache.get(resource);
  if (before !== undefined) return before;
  const made = make();
  cache.set(resource, made);
  return made;
}
