import type { EndpointSlice, Service } from '#kube/resources.ts';

import {
  type DnsRecord,
  NAME_ERROR,
  NO_ERROR,
  TYPE_A,
  TYPE_CNAME,
  TYPE_SRV,
} from './dns-message.ts';

/** What the name server knows. */
export interface DnsZone {
  readonly domain: string;
  service(namespace: string, name: string): Service | undefined;
  slices(namespace: string, name: string): readonly EndpointSlice[];
}

export interface DnsAnswer {
  readonly code: number;
  readonly records: readonly DnsRecord[];
}

const NO_SUCH_NAME: DnsAnswer = { code: NAME_ERROR, records: [] };

/**
 * Answers as the Kubernetes DNS specification (1.1.0) says: services, the pods behind headless ones, and ports by
 * SRV. There is no name server for other domains: their names don't exist.
 */
export function answerQuestion(zone: DnsZone, name: string, type: number): DnsAnswer {
  const [namespace, serviceName, ...rest] = labelsOf(zone, name);
  if (namespace === undefined || serviceName === undefined) return NO_SUCH_NAME;
  const service = zone.service(namespace, serviceName);
  if (service === undefined) return NO_SUCH_NAME;
  if (service.spec.type === 'ExternalName') {
    return rest.length > 0 ? NO_SUCH_NAME : alias(zone, service, type);
  }
  const [first, second] = rest;
  if (first?.startsWith('_') === true) return ports(zone, service, first, second, type);
  const ips = rest.length > 1 ? [] : addresses(zone, service, first);
  if (ips.length === 0) return NO_SUCH_NAME;
  const records = type === TYPE_A ? ips.map((ip) => ({ type: TYPE_A, ip }) as const) : [];
  return { code: NO_ERROR, records };
}

/** Another name, with its address when that is ours as well. */
function alias(zone: DnsZone, { spec }: Service, type: number): DnsAnswer {
  const target = (spec.externalName ?? '').replace(/\.$/, '').toLowerCase();
  if (target === '') return NO_SUCH_NAME;
  const records: DnsRecord[] = [{ type: TYPE_CNAME, target }];
  const [namespace = '', name = ''] = labelsOf(zone, target);
  // An alias of an alias is left to who asks: there could be a circle.
  const isAlias = zone.service(namespace, name)?.spec.type === 'ExternalName';
  if (type === TYPE_A && !isAlias) {
    for (const record of answerQuestion(zone, target, type).records) {
      records.push({ name: target, ...record });
    }
  }
  return { code: NO_ERROR, records };
}

/** Namespace, service, and what is before them. */
function labelsOf(zone: DnsZone, name: string): readonly string[] {
  const suffix = `.svc.${zone.domain}`;
  return name.endsWith(suffix) ? name.slice(0, -suffix.length).split('.').toReversed() : [];
}

/** Of the service, or of its pods when it has no address of its own; with a host name, of that pod alone. */
function addresses(zone: DnsZone, service: Service, host: string | undefined): readonly string[] {
  const { name, namespace = '' } = service.metadata;
  const { clusterIP = '' } = service.spec;
  if (clusterIP !== 'None' && clusterIP !== '') return host === undefined ? [clusterIP] : [];
  const ips = new Set<string>();
  for (const slice of zone.slices(namespace, name)) {
    if (slice.addressType !== 'IPv4') continue;
    for (const endpoint of slice.endpoints ?? []) {
      const isReady =
        endpoint.conditions?.ready !== false || service.spec.publishNotReadyAddresses === true;
      if (!isReady || (host !== undefined && endpoint.hostname !== host)) continue;
      for (const ip of endpoint.addresses) ips.add(ip);
    }
  }
  return [...ips];
}

/** `_port._protocol.service…` */
function ports(
  zone: DnsZone,
  service: Service,
  protocol: string,
  name: string | undefined,
  type: number,
): DnsAnswer {
  const found = service.spec.ports?.find(
    (port) =>
      `_${(port.protocol ?? 'TCP').toLowerCase()}` === protocol && `_${port.name ?? ''}` === name,
  );
  if (found === undefined) return NO_SUCH_NAME;
  const target = `${service.metadata.name}.${service.metadata.namespace}.svc.${zone.domain}`;
  const records = type === TYPE_SRV ? [{ type: TYPE_SRV, port: found.port, target } as const] : [];
  return { code: NO_ERROR, records };
}
