import { expect } from 'chai';
import { describe, it } from 'mocha';

import { AppProtocol } from '#api/gen/workload_pb.ts';
import { serviceRecord } from '#istiod/inputs/services.ts';
import type { Service } from '#kube/resources.ts';

function recordOf(spec: object, annotations: Record<string, string> = {}) {
  const metadata = { name: 'shelf', namespace: 'shop', annotations };
  const service = { apiVersion: 'v1', kind: 'Service', metadata, spec } as unknown as Service;
  return serviceRecord(service, 'cluster.local');
}

describe('serviceRecord()', () => {
  it('keeps name, addresses, selector and ports', () => {
    const record = recordOf({
      clusterIP: '10.96.0.5',
      clusterIPs: ['10.96.0.5', 'fd00::5'],
      ipFamilies: ['IPv4', 'IPv6'],
      selector: { app: 'shelf' },
      ports: [
        { name: 'http', port: 80, targetPort: 8080 },
        { name: 'grpc', port: 90, targetPort: 'api' },
        { port: 91 },
        { name: 'x', port: 92, targetPort: 0, appProtocol: 'kubernetes.io/h2c' },
      ],
    });
    expect(record).to.deep.include({
      kind: 'Service',
      hostname: 'shelf.shop.svc.cluster.local',
      selector: { app: 'shelf' },
      families: ['IPv4', 'IPv6'],
      addresses: [
        { ip: '10.96.0.5', prefixLength: undefined },
        { ip: 'fd00::5', prefixLength: undefined },
      ],
      ports: [
        { name: 'http', number: 80, target: 8080, protocol: AppProtocol.HTTP11 },
        { name: 'grpc', number: 90, target: 'api', protocol: AppProtocol.GRPC },
        { name: '', number: 91, target: 91, protocol: AppProtocol.UNKNOWN },
        { name: 'x', number: 92, target: 92, protocol: AppProtocol.HTTP2 },
      ],
    });
  });

  it('has no address when it is headless, and selects nothing without a selector', () => {
    const record = recordOf({ clusterIP: 'None', clusterIPs: ['None'], selector: {} });
    expect(record).to.deep.include({ addresses: [], selector: undefined, ports: [] });
  });

  it('is nothing when it is only another name', () => {
    expect(recordOf({ type: 'ExternalName', externalName: 'example.com' })).to.equal(undefined);
  });

  it('keeps what decides between its endpoints', () => {
    const annotations = { 'networking.istio.io/traffic-distribution': 'PreferClose' };
    const spec = {
      internalTrafficPolicy: 'Local',
      trafficDistribution: 'PreferSameZone',
      publishNotReadyAddresses: true,
    };
    expect(recordOf(spec, annotations)?.balancing).to.deep.equal({
      internalTrafficPolicy: 'Local',
      trafficDistribution: 'PreferSameZone',
      annotation: 'PreferClose',
      publishNotReady: true,
      passthrough: false,
    });
  });
});
