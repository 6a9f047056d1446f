import { Service_Visibility as Visibility } from '#api/gen/workload_pb.ts';
import { parseIp } from '#common/net/address.ts';
import type { Service } from '#kube/resources.ts';

import type { ServicePort, ServiceRecord } from '../model/service.ts';
import { appProtocol } from '../translate/protocols.ts';
import { described, selectorOf } from './metadata.ts';

const TRAFFIC_DISTRIBUTION = 'networking.istio.io/traffic-distribution';

/** What is kept of a Service; undefined for one that is only another name. */
export function serviceRecord(service: Service, domain: string): ServiceRecord | undefined {
  const { metadata, spec } = service;
  if (spec.type === 'ExternalName') return undefined;
  const base = described(service);
  const ips = spec.clusterIPs ?? (spec.clusterIP === undefined ? [] : [spec.clusterIP]);
  return {
    ...base,
    kind: 'Service',
    hostname: `${base.name}.${base.namespace}.svc.${domain}`,
    selector: selectorOf(spec.selector),
    addresses: ips.flatMap((text) => {
      const ip = parseIp(text);
      return ip === undefined ? [] : [{ ip, prefixLength: undefined }];
    }),
    ports: portsOf(service),
    families: spec.ipFamilies ?? [],
    balancing: {
      internalTrafficPolicy: spec.internalTrafficPolicy,
      trafficDistribution: spec.trafficDistribution,
      annotation: metadata.annotations?.[TRAFFIC_DISTRIBUTION],
      publishNotReady: spec.publishNotReadyAddresses === true,
      passthrough: false,
    },
    subjectAltNames: [],
    visibility: Visibility.PUBLIC,
  };
}

function portsOf({ spec }: Service): readonly ServicePort[] {
  return (spec.ports ?? []).map(({ name = '', port, targetPort, appProtocol: said }) => ({
    name,
    number: port,
    target: targetPort === undefined || targetPort === 0 || targetPort === '' ? port : targetPort,
    protocol: appProtocol(said, name),
  }));
}
