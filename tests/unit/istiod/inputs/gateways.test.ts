import { expect } from 'chai';
import { describe, it } from 'mocha';

import { gatewayClassRecord, gatewayRecord } from '#istiod/inputs/gateways.ts';
import type { Configuration } from '#kube/resources.ts';

function object(spec: unknown, status: unknown = {}, more: object = {}): Configuration {
  const metadata = { name: 'waypoint', namespace: 'shop', ...more };
  const apiVersion = 'gateway.networking.k8s.io/v1';
  return { apiVersion, kind: 'Gateway', metadata, spec, status } as Configuration;
}

const listener = (from: unknown) => ({
  port: 15008,
  protocol: 'HBONE',
  allowedRoutes: { namespaces: from },
});

describe('gatewayRecord()', () => {
  it('keeps its class, its addresses and who may attach to its listeners', () => {
    const selector = { matchLabels: { team: 'a' } };
    const record = gatewayRecord(
      object(
        {
          gatewayClassName: 'istio-waypoint',
          listeners: [
            listener({ from: 'All' }),
            listener({ from: 'None' }),
            listener({ from: 'Selector', selector }),
            { port: 15008, protocol: 'HBONE' },
          ],
        },
        {
          addresses: [
            { type: 'Hostname', value: 'waypoint.shop.svc.cluster.local' },
            { type: 'IPAddress', value: '10.96.0.9' },
            { value: '10.96.0.10' },
            { type: 'Hostname', value: 'way point' },
            { value: 'nonsense' },
          ],
        },
      ),
    );
    expect(record.className).to.equal('istio-waypoint');
    expect(record.addresses).to.deep.equal([
      { kind: 'hostname', hostname: 'waypoint.shop.svc.cluster.local' },
      { kind: 'ip', ip: '10.96.0.9' },
      { kind: 'ip', ip: '10.96.0.10' },
    ]);
    expect(record.listeners.map(({ from }) => from)).to.deep.equal([
      { kind: 'all' },
      { kind: 'none' },
      { kind: 'selector', matches: selector },
      { kind: 'same' },
    ]);
  });

  it('may be empty', () => {
    const record = gatewayRecord(object(undefined, undefined));
    expect(record).to.deep.include({ className: '', addresses: [], listeners: [] });
  });
});

describe('gatewayClassRecord()', () => {
  it('keeps how its gateways want to be reached', () => {
    const annotations = { 'ambient.istio.io/waypoint-inbound-binding': 'PROXY/15088' };
    const labels = { 'istio.io/waypoint-for': 'service' };
    expect(gatewayClassRecord(object({}, {}, { annotations, labels }))).to.deep.equal({
      name: 'waypoint',
      labels,
      inboundBinding: 'PROXY/15088',
    });
  });
});
