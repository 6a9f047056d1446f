import { formatCidr } from '#common/net/cidr.ts';

import type { Match, Policy, StringMatch } from './authorization.ts';
import type { Endpoint, Service } from './service.ts';
import type { GatewayAddress, PortMap, Workload } from './workload.ts';

/** JSON as it is printed. Fields that are undefined don't appear. */
export type Dump =
  | string
  | number
  | boolean
  | undefined
  | readonly Dump[]
  | { readonly [name: string]: Dump };

/**
 * A workload in the shape that the command line's tools read. What has no value is left out. The
 * local configuration has the same shape, except that it maps services to ports.
 */
export function dumpWorkload(workload: Workload): Dump {
  const { locality, applicationTunnel } = workload;
  return {
    workloadIps: workload.ips,
    waypoint: optional(workload.waypoint, dumpGateway),
    networkGateway: optional(workload.networkGateway, dumpGateway),
    protocol: workload.protocol,
    networkMode: workload.networkMode,
    uid: workload.uid,
    name: workload.name,
    namespace: workload.namespace,
    trustDomain: workload.trustDomain,
    serviceAccount: workload.serviceAccount,
    network: filled(workload.network),
    workloadName: filled(workload.workloadName),
    workloadType: workload.workloadType,
    canonicalName: filled(workload.canonicalName),
    canonicalRevision: filled(workload.canonicalRevision),
    hostname: filled(workload.hostname),
    node: filled(workload.node),
    nativeTunnel: workload.nativeTunnel || undefined,
    applicationTunnel: optional(applicationTunnel, ({ protocol, port }) => ({ protocol, port })),
    authorizationPolicies: list(workload.authorizationPolicies),
    status: workload.status,
    clusterId: workload.clusterId,
    locality: Object.values(locality).some((part) => part !== '') ? { ...locality } : undefined,
    services: list([...workload.services.keys()]),
    capacity: workload.capacity,
  };
}

/** A service with the endpoints that the workloads give it. */
export function dumpService(service: Service, endpoints: Iterable<Endpoint>): Dump {
  const { loadBalancer } = service;
  return {
    name: service.name,
    namespace: service.namespace,
    hostname: service.hostname,
    vips: service.vips.map(({ network, ip }) => `${network}/${ip}`),
    cidrVips: list(service.cidrVips.map(({ network, cidr }) => `${network}/${formatCidr(cidr)}`)),
    ports: dumpPorts(service.ports),
    endpoints: dumpEndpoints(endpoints),
    subjectAltNames: service.subjectAltNames,
    waypoint: optional(service.waypoint, dumpGateway),
    weightedWaypoints: list(
      service.weightedWaypoints.map(({ destination, weight }) => ({
        destination: dumpGateway(destination),
        weight,
      })),
    ),
    loadBalancer: optional(loadBalancer, ({ mode, routingPreferences, healthPolicy }) => ({
      routingPreferences,
      mode,
      healthPolicy,
    })),
    ipFamilies: service.ipFamilies,
    canonical: service.canonical,
    visibility: service.visibility === 'Public' ? undefined : service.visibility,
  };
}

/** Endpoints by the workload's uid; also for services that aren't known yet. */
export function dumpEndpoints(endpoints: Iterable<Endpoint>): Dump {
  return record(
    [...endpoints].map(({ workload, ports }) => [
      workload.uid,
      { workloadUid: workload.uid, port: dumpPorts(ports), status: workload.status },
    ]),
  );
}

export function dumpPolicy(policy: Policy): Dump {
  return {
    name: policy.name,
    namespace: policy.namespace,
    scope: policy.scope,
    action: policy.action,
    rules: policy.rules.map((rule) => rule.map((clause) => clause.map(dumpMatch))),
    dryRun: policy.dryRun,
  };
}

function dumpMatch(match: Match): Dump {
  return {
    namespaces: list(match.namespaces.map(dumpStringMatch)),
    notNamespaces: list(match.notNamespaces.map(dumpStringMatch)),
    serviceAccounts: list(match.serviceAccounts.map((account) => ({ ...account }))),
    notServiceAccounts: list(match.notServiceAccounts.map((account) => ({ ...account }))),
    principals: list(match.principals.map(dumpStringMatch)),
    notPrincipals: list(match.notPrincipals.map(dumpStringMatch)),
    sourceIps: list(match.sourceIps.map(formatCidr)),
    notSourceIps: list(match.notSourceIps.map(formatCidr)),
    destinationIps: list(match.destinationIps.map(formatCidr)),
    notDestinationIps: list(match.notDestinationIps.map(formatCidr)),
    destinationPorts: list(match.destinationPorts),
    notDestinationPorts: list(match.notDestinationPorts),
  };
}

function dumpStringMatch(match: StringMatch): Dump {
  switch (match.kind) {
    case 'exact':
      return { Exact: match.value };
    case 'prefix':
      return { Prefix: match.value };
    case 'suffix':
      return { Suffix: match.value };
    case 'presence':
      return { Presence: [] };
  }
}

function dumpGateway({ destination, hboneMtlsPort }: GatewayAddress): Dump {
  const text =
    destination.kind === 'address'
      ? `${destination.network}/${destination.ip}`
      : `${destination.namespace}/${destination.hostname}`;
  return { destination: text, hboneMtlsPort };
}

function dumpPorts(ports: PortMap): Dump {
  return record([...ports].map(([port, target]) => [String(port), target]));
}

/** An object whose names come from outside: `__proto__` is a name like any other here. */
function record(entries: readonly (readonly [string, Dump])[]): Dump {
  return Object.fromEntries(entries);
}

function filled(text: string): string | undefined {
  return text === '' ? undefined : text;
}

function list(items: readonly Dump[]): Dump {
  return items.length === 0 ? undefined : items;
}

function optional<T>(value: T | undefined, dump: (value: T) => Dump): Dump {
  return value === undefined ? undefined : dump(value);
}
