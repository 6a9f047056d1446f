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
            { ...listener({ from: 'All' }), name: 'mesh' },
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
    expect(record.listeners.map(({ name }) => name)).to.deep.equal(['mesh', '', '', '']);
    expect(record.listeners.map(({ from }) => from)).to.deep.equal([
      { kind: 'all' },
      { kind: 'none' },
      { kind: 'selector', matches: selector },
      { kind: 'same' },
    ]);
  });

  it('may be empty', () => {
    const record = gatewayRecord(object(undefined, undefined));
    expect(record).to.deep.include({
      className: '',
      addresses: [],
      listeners: [],
      wantedAddresses: [],
      infrastructure: { labels: undefined, annotations: undefined, parametersRef: undefined },
      deleting: false,
    });
  });

  it('keeps what its author wants of what is made of it', () => {
    const record = gatewayRecord(
      object(
        {
          addresses: [{ value: '10.0.0.1' }, { type: 'Hostname', value: 'a.example' }],
          infrastructure: {
            labels: { team: 'a' },
            parametersRef: { group: '', kind: 'ConfigMap', name: 'more' },
          },
          listeners: [{ allowedRoutes: { kinds: [{ kind: 'HTTPRoute' }] } }],
        },
        {},
        {
          uid: 'u',
          generation: 3,
          deletionTimestamp: '2026-01-01T00:00:00Z',
          annotations: { note: 'b' },
        },
      ),
    );
    expect(record).to.deep.include({
      uid: 'u',
      generation: 3,
      deleting: true,
      annotations: { note: 'b' },
      wantedAddresses: [
        { type: 'IPAddress', value: '10.0.0.1' },
        { type: 'Hostname', value: 'a.example' },
      ],
      infrastructure: {
        labels: { team: 'a' },
        annotations: undefined,
        parametersRef: 'ConfigMap/more',
      },
    });
    expect(record.listeners[0]?.kinds).to.deep.equal([
      { group: 'gateway.networking.k8s.io', kind: 'HTTPRoute' },
    ]);
  });
});

describe('gatewayClassRecord()', () => {
  it('keeps how its gateways want to be reached', () => {
    const annotations = { 'ambient.istio.io/waypoint-inbound-binding': 'PROXY/15088' };
    const labels = { 'istio.io/waypoint-for': 'service' };
    const spec = { controllerName: 'istio.io/mesh-controller' };
    expect(gatewayClassRecord(object(spec, {}, { annotations, labels }))).to.deep.equal({
      ...spec,
      name: 'waypoint',
      labels,
      inboundBinding: 'PROXY/15088',
    });
  });
});
