import { expect } from 'chai';
import { describe, it } from 'mocha';

import type { EndpointSlice, Service } from '#kube/resources.ts';
import { renderServiceRules, serviceRules } from '#playground/node/service-rules.ts';

function service(name: string, spec: Partial<Service['spec']>): Service {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'shop' },
    spec: { clusterIP: '10.96.0.9', ports: [{ port: 80, targetPort: 8080 }], ...spec },
  };
}

function slice(name: string, endpoints: EndpointSlice['endpoints']): EndpointSlice {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: `${name}-1`,
      namespace: 'shop',
      labels: { 'kubernetes.io/service-name': name },
    },
    addressType: 'IPv4',
    endpoints: endpoints ?? [],
    ports: [{ port: 8080, protocol: 'TCP' }],
  };
}

describe('serviceRules()', () => {
  it('leads to the endpoints that are ready', () => {
    const rules = serviceRules(
      [service('web', {})],
      [
        slice('web', [
          { addresses: ['10.244.0.3'], conditions: { ready: true } },
          { addresses: ['10.244.0.2'] },
          { addresses: ['10.244.0.4'], conditions: { ready: false } },
        ]),
      ],
    );
    expect(rules).to.deep.equal([
      {
        name: 'shop/web:80',
        protocol: 'tcp',
        ip: '10.96.0.9',
        port: 80,
        targets: [
          { ip: '10.244.0.2', port: 8080 },
          { ip: '10.244.0.3', port: 8080 },
        ],
        affinity: false,
      },
    ]);
  });

  it('leads from the ports of the node, too', () => {
    const spec = { type: 'NodePort', ports: [{ port: 80, nodePort: 30_080 }] };
    const slices = [slice('web', [{ addresses: ['10.244.0.2'] }])];
    const rules = serviceRules([service('web', spec)], slices);
    expect(rules.map(({ ip, port }) => [ip, port])).to.deep.equal([
      ['10.96.0.9', 80],
      [undefined, 30_080],
    ]);
  });

  it('leads to those that end when no other is left', () => {
    const conditions = { ready: false, serving: true, terminating: true };
    const slices = [slice('web', [{ addresses: ['10.244.0.4'], conditions }])];
    const [rule] = serviceRules([service('web', {})], slices);
    expect(rule?.targets).to.deep.equal([{ ip: '10.244.0.4', port: 8080 }]);
  });

  it('knows nothing of headless and external services', () => {
    const services = [
      service('none', { clusterIP: 'None' }),
      service('far', { type: 'ExternalName', externalName: 'example.org' }),
    ];
    expect(serviceRules(services, [])).to.deep.equal([]);
  });
});

describe('renderServiceRules()', () => {
  it('refuses what has no endpoints', () => {
    const text = renderServiceRules(serviceRules([service('web', {})], []), '10.244.0.0/16');
    expect(text).to.include('ip daddr 10.96.0.9 tcp dport 80 reject with tcp reset');
    expect(text).not.to.include('dnat to');
  });
});
