import { expect } from 'chai';
import { describe, it } from 'mocha';

import type { EndpointSlice, Service } from '#kube/resources.ts';
import { applyNft } from '#linux/nft.ts';
import { renderServiceRules, serviceRules } from '#playground/node/service-rules.ts';
import { NetworkNamespace } from '#tests/support/network-namespace.ts';

function service(name: string, spec: Partial<Service['spec']>): Service {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'shop' },
    spec: { clusterIP: '10.96.0.9', ports: [{ port: 80, targetPort: 8080 }], ...spec },
  };
}

function slice(name: string, ...addresses: readonly string[]): EndpointSlice {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: `${name}-1`,
      namespace: 'shop',
      labels: { 'kubernetes.io/service-name': name },
    },
    addressType: 'IPv4',
    endpoints: addresses.map((address) => ({ addresses: [address] })),
    ports: [{ port: 8080, protocol: 'TCP' }],
  };
}

describe('renderServiceRules()', () => {
  it('is understood by nft, with several endpoints, one and none', async () => {
    using namespace = new NetworkNamespace('ambit-service-rules');
    const rules = serviceRules(
      [
        service('web', {}),
        service('sticky', { clusterIP: '10.96.0.10', sessionAffinity: 'ClientIP' }),
        service('one', {
          clusterIP: '10.96.0.11',
          type: 'NodePort',
          ports: [{ port: 80, targetPort: 8080, nodePort: 30_080 }],
        }),
        service('lost', { clusterIP: '10.96.0.12', ports: [{ port: 53, protocol: 'UDP' }] }),
      ],
      [
        slice('web', '10.244.0.2', '10.244.1.2'),
        slice('sticky', '10.244.0.2', '10.244.1.2'),
        slice('one', '10.244.1.2'),
      ],
    );
    const text = renderServiceRules(rules, '10.244.0.0/16');
    expect(await applyNft(namespace.fd, text)).to.deep.equal({ kind: 'applied' });
    const inForce = namespace.run('nft', 'list', 'ruleset');
    for (const ip of [9, 10, 11, 12]) expect(inForce).to.include(`ip daddr 10.96.0.${ip} `);
    expect(inForce).to.include('fib daddr type local tcp dport 30080 dnat to 10.244.1.2:8080');
  });
});
