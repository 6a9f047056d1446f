import { type IpAddress, parseIp } from '#common/net/address.ts';
import { type Cidr, parseCidr } from '#common/net/cidr.ts';
import { type Identity, parseIdentity } from '#common/tls/spiffe.ts';
import { EMPTY_MATCH, type Match, type Policy } from '#dataplane/state/authorization.ts';
import { EMPTY_DELTA, type MeshDelta } from '#dataplane/state/delta.ts';
import {
  type NamespacedHost,
  namespacedHost,
  type PolicyKey,
  parsePolicyKey,
  type WorkloadUid,
} from '#dataplane/state/names.ts';
import { type Service, serviceOf } from '#dataplane/state/service.ts';
import { MeshStore } from '#dataplane/state/store.ts';
import {
  type GatewayAddress,
  type NetworkAddress,
  type PortMap,
  type Workload,
  workloadOf,
} from '#dataplane/state/workload.ts';

// Short spellings for mesh data in tests. Bad text in a test fails at once.

export function ip(text: string): IpAddress {
  return present(parseIp(text), text);
}

export function cidr(text: string): Cidr {
  return present(parseCidr(text), text);
}

/** `network/address`. */
export function vip(text: string): NetworkAddress {
  const slash = text.indexOf('/');
  return { network: text.slice(0, slash), ip: ip(text.slice(slash + 1)) };
}

export function identity(text: string): Identity {
  return present(parseIdentity(text), text);
}

export function key(text: string): PolicyKey {
  return present(parsePolicyKey(text), text);
}

export function uid(text: string): WorkloadUid {
  return text as WorkloadUid;
}

export function host(namespace: string, hostname: string): NamespacedHost {
  return namespacedHost(namespace, hostname);
}

/** `ports({ 80: 8080 })` */
export function ports(given: Readonly<Record<number, number>>): PortMap {
  return new Map(Object.entries(given).map(([port, target]) => [Number(port), target]));
}

/** A gateway by `network/address`, on the usual port. */
export function gatewayAt(text: string, hboneMtlsPort: number = 15_008): GatewayAddress {
  return { destination: { kind: 'address', ...vip(text) }, hboneMtlsPort };
}

export function gatewayNamed(
  namespace: string,
  hostname: string,
  hboneMtlsPort: number = 15_008,
): GatewayAddress {
  return { destination: { kind: 'hostname', namespace, hostname }, hboneMtlsPort };
}

/** A workload in namespace `default`, on the default network, with one address. */
export function workload(name: string, address: string, more: Partial<Workload> = {}): Workload {
  return workloadOf({
    uid: uid(`Kubernetes//Pod/default/${name}`),
    name,
    namespace: 'default',
    ips: address === '' ? [] : [ip(address)],
    ...more,
  });
}

/** A service in namespace `default` with one port, 80 to 8080. */
export function service(hostname: string, address: string, more: Partial<Service> = {}): Service {
  return serviceOf({
    name: hostname.split('.')[0] ?? hostname,
    namespace: 'default',
    hostname,
    vips: address === '' ? [] : [vip(`/${address}`)],
    ports: ports({ 80: 8080 }),
    ...more,
  });
}

/** Makes a workload an endpoint of services in their namespace. */
export function serving(
  one: Workload,
  ...served: readonly (readonly [Service, PortMap])[]
): Workload {
  const services = served.map(
    ([of, map]) => [namespacedHost(of.namespace, of.hostname), map] as const,
  );
  return { ...one, services: new Map(services) };
}

export function match(given: Partial<Match>): Match {
  return { ...EMPTY_MATCH, ...given };
}

/** An enforced policy for all of namespace `default`, with one rule of one clause. */
export function policy(name: string, given: Partial<Match>, more: Partial<Policy> = {}): Policy {
  return {
    name,
    namespace: 'default',
    scope: 'Namespace',
    action: 'Deny',
    dryRun: false,
    rules: [[[match(given)]]],
    ...more,
  };
}

export function delta(given: Partial<MeshDelta>): MeshDelta {
  return { ...EMPTY_DELTA, ...given };
}

export function storeOf(given: {
  readonly workloads?: readonly Workload[];
  readonly services?: readonly Service[];
  readonly policies?: readonly Policy[];
}): MeshStore {
  const store = new MeshStore();
  store.apply(
    delta({
      upsertWorkloads: given.workloads ?? [],
      upsertServices: given.services ?? [],
      upsertPolicies: given.policies ?? [],
    }),
  );
  return store;
}

function present<T>(value: T | undefined, text: string): T {
  if (value === undefined) throw new Error(`Bad text in a test: "${text}"`);
  return value;
}
