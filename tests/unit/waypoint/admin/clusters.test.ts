import { expect } from 'chai';
import { describe, it } from 'mocha';

import { MeshStore } from '#dataplane/state/store.ts';
import { delta, gatewayAt, host, ports, service, serving, workload } from '#tests/support/mesh.ts';
import { clustersOf, clustersText } from '#waypoint/admin/clusters.ts';

const self = workload('waypoint', '10.0.0.9', { protocol: 'HBONE' });
const waypoint = gatewayAt('/10.0.0.9');
const shop = service('shop.default.svc.cluster.local', '10.96.0.10', {
  waypoint,
  ports: ports({ 80: 8080, 90: 0 }),
  protocols: new Map([[90, 'TCP']]),
});
const other = service('other.default.svc.cluster.local', '10.96.0.11');
const stranger = service('stranger.default.svc.cluster.local', '10.96.0.12');
const locality = { region: 'north', zone: 'a', subzone: '' };
const one = serving(workload('shop-1', '10.0.1.1', { protocol: 'HBONE', locality }), [
  shop,
  ports({ 80: 8080, 90: 9090 }),
]);
const two = serving(workload('shop-2', '10.0.1.2', { status: 'Unhealthy' }), [
  shop,
  ports({ 80: 8081 }),
]);

function meshOf(): MeshStore {
  const mesh = new MeshStore();
  const upsertServices = [shop, other, stranger];
  mesh.apply(delta({ upsertServices, upsertWorkloads: [self, one, two] }));
  return mesh;
}

const nothing = { requests: 0, idleConnections: 0, http2Connections: 0 };

describe('clustersOf()', () => {
  it('shows the ports of the services that may come to it, and of those that routes lead to', () => {
    const backends = new Set([host('default', other.hostname)]);
    const clusters = clustersOf({ mesh: meshOf(), self, backends, uses: [] });
    expect(clusters.map(({ name }) => name)).to.deep.equal([
      'inbound-vip|80|http|shop.default.svc.cluster.local',
      'inbound-vip|90|tcp|shop.default.svc.cluster.local',
      'outbound|80||other.default.svc.cluster.local',
    ]);
  });

  it('shows endpoints, healthy or not, and whether they are used', () => {
    const [http, tcp] = clustersOf({ mesh: meshOf(), self, backends: new Set(), uses: [] });
    expect(http?.endpoints).to.deep.equal([
      {
        address: '10.0.1.1:8080',
        workload: 'shop-1',
        namespace: 'default',
        health: 'healthy',
        usable: true,
        protocol: 'HBONE',
        weight: 1,
        region: 'north',
        zone: 'a',
        subzone: '',
        ...nothing,
      },
      {
        address: '10.0.1.2:8081',
        workload: 'shop-2',
        namespace: 'default',
        health: 'unhealthy',
        usable: false,
        protocol: 'TCP',
        weight: 1,
        region: '',
        zone: '',
        subzone: '',
        ...nothing,
      },
    ]);
    // The second has no such port.
    expect(tcp?.endpoints.map(({ address }) => address)).to.deep.equal(['10.0.1.1:9090', '']);
  });

  it('adds up what the workers have open', () => {
    const { uid } = one;
    const uses = [
      [{ uid, requests: 2, idleConnections: 3, http2Connections: 0 }],
      [
        { uid, requests: 1, idleConnections: 0, http2Connections: 1 },
        { uid: two.uid, requests: 5, idleConnections: 0, http2Connections: 0 },
      ],
    ];
    const [http] = clustersOf({ mesh: meshOf(), self, backends: new Set(), uses });
    expect(http?.endpoints[0]).to.include({
      requests: 3,
      idleConnections: 3,
      http2Connections: 1,
    });
    expect(http?.endpoints[1]).to.include({ requests: 5 });
  });

  it('shows nothing before it knows who it is', () => {
    const sources = { mesh: meshOf(), self: undefined, backends: new Set<never>(), uses: [] };
    expect(clustersOf(sources)).to.deep.equal([]);
  });
});

describe('clustersText()', () => {
  it('has a line for each fact', () => {
    const clusters = clustersOf({ mesh: meshOf(), self, backends: new Set(), uses: [] });
    const lines = clustersText(clusters).split('\n');
    const name = 'inbound-vip|80|http|shop.default.svc.cluster.local';
    expect(lines.slice(0, 13)).to.deep.equal([
      `${name}::namespace::default`,
      `${name}::endpoints::2`,
      `${name}::10.0.1.1:8080::hostname::shop-1`,
      `${name}::10.0.1.1:8080::health_flags::healthy`,
      `${name}::10.0.1.1:8080::usable::true`,
      `${name}::10.0.1.1:8080::protocol::HBONE`,
      `${name}::10.0.1.1:8080::weight::1`,
      `${name}::10.0.1.1:8080::region::north`,
      `${name}::10.0.1.1:8080::zone::a`,
      `${name}::10.0.1.1:8080::sub_zone::`,
      `${name}::10.0.1.1:8080::rq_active::0`,
      `${name}::10.0.1.1:8080::cx_idle::0`,
      `${name}::10.0.1.1:8080::cx_http2::0`,
    ]);
    expect(lines.at(-1)).to.equal('');
  });
});
