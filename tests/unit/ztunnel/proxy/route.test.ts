import { expect } from 'chai';
import { describe, it } from 'mocha';

import { parseSocketAddress } from '#common/net/address.ts';
import type { MeshView } from '#dataplane/state/view.ts';
import type { Workload } from '#dataplane/state/workload.ts';
import {
  gatewayAt,
  gatewayNamed,
  identity,
  ip,
  ports,
  service,
  serving,
  storeOf,
  uid,
  vip,
  workload,
} from '#tests/support/mesh.ts';
import { type Route, route } from '#ztunnel/proxy/route.ts';

const client = workload('client', '10.0.0.1', { protocol: 'HBONE' });
const hbone = { protocol: 'HBONE' } as const;
const pod = workload('pod', '10.0.0.2', { ...hbone, serviceAccount: 'pod' });
const podIdentity = 'spiffe://cluster.local/ns/default/sa/pod';
const web = service('web.example', '10.1.0.1');
const waypoint = workload('waypoint', '10.0.0.9', { ...hbone, serviceAccount: 'waypoint' });
const waypointIdentity = 'spiffe://cluster.local/ns/default/sa/waypoint';

function go(
  view: MeshView,
  target: string,
  more: { source?: Workload; random?: number } = {},
): Route {
  const address = parseSocketAddress(target)!;
  return route(view, more.source ?? client, address, () => more.random ?? 0, { network: '' });
}

/** The parts of a route that say where it leads, as text. */
function brief(one: Route): string {
  const via = one.workload?.name ?? 'nobody';
  const as = one.service === undefined ? '' : ` as ${one.service.hostname}`;
  if (one.kind === 'refused') return `refused: ${one.reason}`;
  const { ip: address, port } = one.connectTo;
  if (one.kind === 'direct') return `direct to ${address} ${port}, ${via}${as}`;
  return `hbone to ${address} ${port}, ask for ${one.authority}, ${via}${as}`;
}

describe('route()', () => {
  describe('to a workload', () => {
    it('leaves an unknown destination as it is', () => {
      expect(brief(go(storeOf({}), '8.8.8.8:53'))).to.equal('direct to 8.8.8.8 53, nobody');
    });

    it('takes the tunnel of a workload that has one', () => {
      expect(go(storeOf({ workloads: [pod] }), '10.0.0.2:80')).to.deep.equal({
        kind: 'hbone',
        connectTo: { ip: ip('10.0.0.2'), port: 15_008 },
        authority: '10.0.0.2:80',
        expectedIdentities: [podIdentity],
        workload: pod,
        service: undefined,
      });
    });

    it('connects directly to a workload that has none', () => {
      const plain = workload('plain', '10.0.0.2');
      expect(go(storeOf({ workloads: [plain] }), '10.0.0.2:80')).to.deep.equal({
        kind: 'direct',
        connectTo: { ip: ip('10.0.0.2'), port: 80 },
        workload: plain,
        service: undefined,
      });
    });

    it('treats a workload on the same node like any other', () => {
      const near = { ...pod, node: 'n' };
      const source = { ...client, node: 'n' };
      expect(brief(go(storeOf({ workloads: [near] }), '10.0.0.2:80', { source }))).to.equal(
        'hbone to 10.0.0.2 15008, ask for 10.0.0.2:80, pod',
      );
    });

    it('keeps the address that was asked for, of several', () => {
      const two = { ...pod, ips: [ip('10.0.0.2'), ip('10.0.0.3'), ip('2001:db8::3')] };
      const view = storeOf({ workloads: [two] });
      expect(brief(go(view, '10.0.0.3:80'))).to.equal(
        'hbone to 10.0.0.3 15008, ask for 10.0.0.3:80, pod',
      );
      expect(brief(go(view, '[2001:db8::3]:80'))).to.equal(
        'hbone to 2001:db8::3 15008, ask for [2001:db8::3]:80, pod',
      );
    });

    it("does not take another network's workload at the same address", () => {
      const far = { ...pod, network: 'far' };
      expect(brief(go(storeOf({ workloads: [far] }), '10.0.0.2:80'))).to.equal(
        'direct to 10.0.0.2 80, nobody',
      );
    });

    it('takes a host-network address for unknown', () => {
      const onHost = { ...pod, networkMode: 'HostNetwork' } as const;
      expect(brief(go(storeOf({ workloads: [onHost] }), '10.0.0.2:80'))).to.equal(
        'direct to 10.0.0.2 80, nobody',
      );
    });
  });

  describe('to a service', () => {
    const endpoint = serving(pod, [web, ports({ 80: 1234 })]);

    it("goes to the endpoint, on the endpoint's port", () => {
      const view = storeOf({ workloads: [endpoint], services: [web] });
      expect(brief(go(view, '10.1.0.1:80'))).to.equal(
        'hbone to 10.0.0.2 15008, ask for 10.0.0.2:1234, pod as web.example',
      );
    });

    it("falls back to the service's target port", () => {
      const view = storeOf({ workloads: [serving(pod, [web, ports({})])], services: [web] });
      expect(brief(go(view, '10.1.0.1:80'))).to.equal(
        'hbone to 10.0.0.2 15008, ask for 10.0.0.2:8080, pod as web.example',
      );
    });

    it('connects directly to an endpoint without a tunnel', () => {
      const plain = serving(workload('plain', '10.0.0.2'), [web, ports({ 80: 1234 })]);
      const view = storeOf({ workloads: [plain], services: [web] });
      expect(brief(go(view, '10.1.0.1:80'))).to.equal(
        'direct to 10.0.0.2 1234, plain as web.example',
      );
    });

    it("accepts the service's other names beside the endpoint's own", () => {
      const names = [identity('spiffe://cluster.local/ns/x/sa/y'), identity(podIdentity)];
      const named = { ...web, subjectAltNames: names };
      const view = storeOf({ workloads: [endpoint], services: [named] });
      expect(go(view, '10.1.0.1:80')).to.have.deep.property('expectedIdentities', names);
      const wordy = { ...named, subjectAltNames: names.slice(0, 1) };
      const other = storeOf({ workloads: [endpoint], services: [wordy] });
      expect(go(other, '10.1.0.1:80')).to.have.deep.property('expectedIdentities', names);
    });

    it('refuses when no endpoint can take it: none, unhealthy, or not this port', () => {
      const reason = 'refused: no healthy upstream: 10.1.0.1:80';
      expect(brief(go(storeOf({ services: [web] }), '10.1.0.1:80'))).to.equal(reason);
      const ill = storeOf({ services: [web], workloads: [{ ...endpoint, status: 'Unhealthy' }] });
      expect(brief(go(ill, '10.1.0.1:80'))).to.equal(reason);
      const view = storeOf({ services: [web], workloads: [endpoint] });
      expect(brief(go(view, '10.1.0.1:81'))).to.equal('refused: no healthy upstream: 10.1.0.1:81');
    });

    it('refuses such a service also when a workload has the same address', () => {
      const twin = workload('twin', '10.1.0.1');
      const view = storeOf({ services: [web], workloads: [twin] });
      expect(brief(go(view, '10.1.0.1:80'))).to.equal('refused: no healthy upstream: 10.1.0.1:80');
    });

    it('picks the right one of several host-network workloads on one address', () => {
      const onHost = { ips: [ip('10.0.0.7')], networkMode: 'HostNetwork' } as const;
      const one = { ...workload('one', ''), ...onHost };
      const two = serving({ ...workload('two', ''), ...onHost }, [web, ports({ 80: 1234 })]);
      const view = storeOf({ services: [web], workloads: [one, two] });
      expect(brief(go(view, '10.1.0.1:80'))).to.equal(
        'direct to 10.0.0.7 1234, two as web.example',
      );
    });

    it('chooses among endpoints at random', () => {
      const other = serving(workload('other', '10.0.0.3', hbone), [web, ports({ 80: 1 })]);
      const view = storeOf({ services: [web], workloads: [endpoint, other] });
      expect(go(view, '10.1.0.1:80', { random: 0 }).workload?.name).to.equal('pod');
      expect(go(view, '10.1.0.1:80', { random: 0.99 }).workload?.name).to.equal('other');
    });

    it("uses the address family that the service permits, and else the client's", () => {
      const dual = { ...endpoint, ips: [ip('10.0.0.2'), ip('2001:db8::2')] };
      const six = { ...web, vips: [...web.vips, vip('/2001:db8::1')] };
      const to = (families: typeof web.ipFamilies, target: string) => {
        const services = [{ ...six, ipFamilies: families }];
        return go(storeOf({ services, workloads: [dual] }), target);
      };
      expect(to('IPv4', '[2001:db8::1]:80')).to.have.property('authority', '10.0.0.2:1234');
      expect(to('IPv6', '10.1.0.1:80')).to.have.property('authority', '[2001:db8::2]:1234');
      expect(to('Dual', '[2001:db8::1]:80')).to.have.property('authority', '[2001:db8::2]:1234');
      expect(to(undefined, '10.1.0.1:80')).to.have.property('authority', '10.0.0.2:1234');
    });

    it('refuses when the endpoint has no address that the service permits', () => {
      const services = [{ ...web, ipFamilies: 'IPv6' } as const];
      const refused = go(storeOf({ services, workloads: [endpoint] }), '10.1.0.1:80');
      expect(brief(refused)).to.match(/^refused: no valid routing destination for workload: pod /);
    });

    it('leaves the destination as it is for a passthrough service', () => {
      const loadBalancer = {
        mode: 'Passthrough',
        routingPreferences: [],
        healthPolicy: 'OnlyHealthy',
      } as const;
      const view = storeOf({ services: [{ ...web, loadBalancer }], workloads: [endpoint] });
      expect(brief(go(view, '10.1.0.1:80'))).to.equal('direct to 10.1.0.1 80, nobody');
    });

    it('does not see a service that is only for another namespace', () => {
      const hidden = { ...web, namespace: 'other', visibility: 'Namespace' } as const;
      const view = storeOf({ services: [hidden] });
      expect(brief(go(view, '10.1.0.1:80'))).to.equal('direct to 10.1.0.1 80, nobody');
    });

    it('takes the tunnel to itself when a service leads back', () => {
      const self = serving(client, [web, ports({ 80: 1234 })]);
      const view = storeOf({ services: [web], workloads: [self] });
      expect(brief(go(view, '10.1.0.1:80', { source: self }))).to.equal(
        'hbone to 10.0.0.1 15008, ask for 10.0.0.1:1234, client as web.example',
      );
    });
  });

  describe("with the service's waypoint", () => {
    const guarded = { ...web, waypoint: gatewayAt('/10.0.0.9') };
    const endpoint = serving(pod, [web, ports({ 80: 1234 })]);

    it('asks the waypoint for the virtual address', () => {
      const view = storeOf({ services: [guarded], workloads: [endpoint, waypoint] });
      expect(go(view, '10.1.0.1:80')).to.deep.equal({
        kind: 'hbone',
        connectTo: { ip: ip('10.0.0.9'), port: 15_008 },
        authority: '10.1.0.1:80',
        expectedIdentities: [waypointIdentity],
        workload: waypoint,
        service: guarded,
      });
    });

    it('goes through it for a passthrough service, and for one without endpoints', () => {
      const loadBalancer = {
        mode: 'Passthrough',
        routingPreferences: [],
        healthPolicy: 'OnlyHealthy',
      } as const;
      const services = [{ ...guarded, loadBalancer }];
      expect(go(storeOf({ services, workloads: [waypoint] }), '10.1.0.1:80').workload).to.equal(
        waypoint,
      );
    });

    it('refuses when the waypoint is not known: it never goes around it', () => {
      const view = storeOf({ services: [guarded], workloads: [endpoint] });
      expect(brief(go(view, '10.1.0.1:80'))).to.equal('refused: unknown waypoint: /10.0.0.9:15008');
    });

    it('finds a waypoint by its service: address or name, with the other names it may have', () => {
      const alias = identity('spiffe://cluster.local/ns/default/sa/alias');
      const front = service('wp.example', '10.1.0.9', {
        ports: ports({ 15008: 15_009 }),
        subjectAltNames: [alias],
      });
      const behind = serving(waypoint, [front, ports({})]);
      for (const gateway of [gatewayAt('/10.1.0.9'), gatewayNamed('default', 'wp.example')]) {
        const view = storeOf({
          services: [{ ...web, waypoint: gateway }, front],
          workloads: [behind],
        });
        const found = go(view, '10.1.0.1:80');
        expect(found).to.deep.include({
          connectTo: { ip: ip('10.0.0.9'), port: 15_009 },
          expectedIdentities: [alias, waypointIdentity],
        });
        const empty = storeOf({ services: [{ ...web, waypoint: gateway }, front] });
        expect(brief(go(empty, '10.1.0.1:80'))).to.match(
          /^refused: no healthy endpoint of waypoint: /,
        );
      }
    });

    it('finds a waypoint by the hostname of a workload', () => {
      const named = { ...waypoint, hostname: 'wp.example' };
      const services = [{ ...web, waypoint: gatewayNamed('default', 'wp.example', 15_010) }];
      const found = go(storeOf({ services, workloads: [named] }), '10.1.0.1:80');
      expect(found).to.deep.include({ connectTo: { ip: ip('10.0.0.9'), port: 15_010 } });
      const far = [{ ...web, waypoint: gatewayNamed('far', 'wp.example') }];
      expect(brief(go(storeOf({ services: far, workloads: [named] }), '10.1.0.1:80'))).to.equal(
        'refused: unknown waypoint: far/wp.example:15008',
      );
    });

    it('keeps an IPv6 target when the waypoint has IPv4 only', () => {
      const six = { ...guarded, vips: [vip('/2001:db8::1')] };
      const view = storeOf({ services: [six], workloads: [waypoint] });
      expect(brief(go(view, '[2001:db8::1]:80'))).to.equal(
        'hbone to 10.0.0.9 15008, ask for [2001:db8::1]:80, waypoint as web.example',
      );
    });

    const weighted = (first: number, other: number) => ({
      ...guarded,
      waypoint: gatewayAt('/10.0.0.11'),
      weightedWaypoints: [
        { destination: gatewayAt('/10.0.0.9'), weight: first },
        { destination: gatewayAt('/10.0.0.10'), weight: other },
      ],
    });
    it('draws one of weighted waypoints, and the plain one when the weights are 0', () => {
      const second = workload('second', '10.0.0.10', hbone);
      const third = workload('third', '10.0.0.11', hbone);
      const workloads = [waypoint, second, third];
      const to = (first: number, other: number, random: number) =>
        go(storeOf({ services: [weighted(first, other)], workloads }), '10.1.0.1:80', { random })
          .workload?.name;
      expect(to(1, 3, 0.24)).to.equal('waypoint');
      expect(to(1, 3, 0.26)).to.equal('second');
      expect(to(0, 3, 0)).to.equal('second');
      expect(to(0, 0, 0)).to.equal('third');
    });

    it('refuses a weighted waypoint that is not known, though the other one is', () => {
      const weightedWaypoints = [
        { destination: gatewayAt('/10.0.0.9'), weight: 1 },
        { destination: gatewayAt('/10.0.0.10'), weight: 1 },
      ];
      const view = storeOf({ services: [{ ...web, weightedWaypoints }], workloads: [waypoint] });
      expect(go(view, '10.1.0.1:80', { random: 0.9 }).kind).to.equal('refused');
    });

    it('does not use it when a workload has the same address', () => {
      const twin = workload('twin', '10.1.0.1', hbone);
      const view = storeOf({ services: [guarded], workloads: [twin, endpoint, waypoint] });
      expect(brief(go(view, '10.1.0.1:80'))).to.equal(
        'hbone to 10.0.0.2 15008, ask for 10.0.0.2:1234, pod as web.example',
      );
    });
  });

  describe("with the workload's waypoint", () => {
    const guarded = { ...pod, waypoint: gatewayAt('/10.0.0.9') };

    it('asks the waypoint for the address of the workload', () => {
      const view = storeOf({ workloads: [guarded, waypoint] });
      expect(go(view, '10.0.0.2:80')).to.deep.equal({
        kind: 'hbone',
        connectTo: { ip: ip('10.0.0.9'), port: 15_008 },
        authority: '10.0.0.2:80',
        expectedIdentities: [waypointIdentity],
        workload: waypoint,
        service: undefined,
      });
    });

    it('refuses when it is not known', () => {
      const view = storeOf({ workloads: [guarded] });
      expect(brief(go(view, '10.0.0.2:80'))).to.equal('refused: unknown waypoint: /10.0.0.9:15008');
    });

    it('does not use it for a connection to a service', () => {
      const endpoint = serving(guarded, [web, ports({ 80: 1 })]);
      const view = storeOf({ services: [web], workloads: [endpoint, waypoint] });
      expect(go(view, '10.1.0.1:80').workload?.name).to.equal('pod');
    });

    it('goes straight on when the caller is the waypoint: by address, service or hostname', () => {
      const front = service('wp.example', '10.1.0.9');
      const behind = serving(waypoint, [front, ports({})]);
      const rows: readonly (readonly [typeof guarded.waypoint, Workload])[] = [
        [gatewayAt('/10.0.0.9'), waypoint],
        [gatewayAt('/10.1.0.9'), behind],
        [gatewayNamed('default', 'wp.example'), behind],
        [gatewayNamed('default', 'wp.example'), { ...waypoint, hostname: 'wp.example' }],
      ];
      for (const [gateway, source] of rows) {
        const target = { ...pod, waypoint: gateway };
        const view = storeOf({ services: [front], workloads: [target, source] });
        expect(brief(go(view, '10.0.0.2:80', { source }))).to.equal(
          'hbone to 10.0.0.2 15008, ask for 10.0.0.2:80, pod',
        );
      }
    });

    it('does not take another workload with the identity of the waypoint for it', () => {
      const impostor = workload('impostor', '10.0.0.66', { ...hbone, serviceAccount: 'waypoint' });
      const view = storeOf({ workloads: [guarded, waypoint, impostor] });
      expect(go(view, '10.0.0.2:80', { source: impostor }).workload?.name).to.equal('waypoint');
    });
  });

  describe('that can not be taken', () => {
    it('refuses the own listeners, by loopback and by own address', () => {
      for (const host of ['127.0.0.1', '127.9.9.9', '[::1]', '10.0.0.1']) {
        for (const port of [15_001, 15_006, 15_008, 15_080]) {
          expect(brief(go(storeOf({ workloads: [client] }), `${host}:${port}`))).to.equal(
            'refused: attempted recursive call to ourselves',
          );
        }
      }
    });

    it('lets the same ports elsewhere and other ports at home pass', () => {
      const view = storeOf({ workloads: [client, pod] });
      expect(go(view, '10.0.0.2:15008').kind).to.equal('hbone');
      expect(go(view, '127.0.0.1:8080').kind).to.equal('direct');
      expect(go(view, '10.0.0.1:8080').kind).to.equal('hbone');
    });

    it('refuses an endpoint on another network, and says why', () => {
      const far = serving({ ...pod, network: 'far', networkGateway: gatewayAt('far/10.9.0.1') }, [
        web,
        ports({ 80: 1 }),
      ]);
      const view = storeOf({ services: [web], workloads: [far] });
      expect(brief(go(view, '10.1.0.1:80'))).to.match(/^refused: .*pod .*network "far".*gateway/);
    });

    it('refuses a waypoint on another network', () => {
      const far = { ...waypoint, network: 'far' };
      const services = [{ ...web, waypoint: gatewayAt('far/10.0.0.9') }];
      const view = storeOf({ services, workloads: [far] });
      expect(brief(go(view, '10.1.0.1:80'))).to.match(/^refused: .*waypoint .*network "far"/);
    });

    it('refuses a workload that has only a hostname, and names it', () => {
      const named = serving({ ...workload('db', ''), uid: uid('db'), hostname: 'db.example' }, [
        web,
        ports({ 80: 1 }),
      ]);
      const view = storeOf({ services: [web], workloads: [named] });
      expect(brief(go(view, '10.1.0.1:80'))).to.match(/^refused: .*db .*"db\.example"/);
    });
  });
});
