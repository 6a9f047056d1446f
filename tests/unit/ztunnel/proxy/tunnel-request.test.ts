import { expect } from 'chai';
import { describe, it } from 'mocha';

import type { MeshView } from '#dataplane/state/view.ts';
import type { ApplicationTunnel, GatewayAddress, Workload } from '#dataplane/state/workload.ts';
import {
  gatewayAt,
  gatewayNamed,
  ip,
  ports,
  service,
  serving,
  storeOf,
  vip,
  workload,
} from '#tests/support/mesh.ts';
import {
  type HeaderList,
  readTunnelRequest,
  type TunnelReceiver,
  type TunnelRequest,
} from '#ztunnel/proxy/tunnel-request.ts';

const web = service('web.example', '10.1.0.1');
const pod = serving(workload('pod', '10.0.0.2'), [web, ports({ 80: 1234 })]);
const view = storeOf({ services: [web], workloads: [pod] });

function connect(authority: string, ...more: HeaderList): HeaderList {
  return [[':method', 'CONNECT'], [':authority', authority], ...more];
}

function read(headers: HeaderList, more: Partial<TunnelReceiver> = {}): TunnelRequest {
  return readTunnelRequest(headers, {
    localAddress: { ip: ip('10.0.0.2'), port: 15_008 },
    pod: { namespace: 'default', name: 'pod', serviceAccount: 'default' },
    workload: pod,
    view,
    network: '',
    localhostAppTunnel: true,
    ...more,
  });
}

function refusal(request: TunnelRequest): string {
  return request.kind === 'refused' ? `${request.status} ${request.reason}` : 'accepted';
}

function target(request: TunnelRequest): string {
  if (request.kind === 'refused') return refusal(request);
  return `${request.target.ip} ${request.target.port}`;
}

function through(
  applicationTunnel: ApplicationTunnel,
  authority: string,
  more: Partial<TunnelReceiver> = {},
): TunnelRequest {
  return read(connect(authority), { workload: { ...pod, applicationTunnel }, ...more });
}
const from = (value: string, network: string) =>
  read(connect('10.0.0.2:80', ['x-forwarded-network', value]), { network });

describe('readTunnelRequest()', () => {
  it('accepts a request for the own address', () => {
    expect(read(connect('10.0.0.2:8080'))).to.deep.equal({
      kind: 'accepted',
      authority: '10.0.0.2:8080',
      target: { ip: '10.0.0.2', port: 8080 },
      connectTo: { ip: '10.0.0.2', port: 8080 },
      proxyTarget: undefined,
      keepSourceAddress: true,
      service: web,
      forwardedHost: undefined,
      baggage: [],
      traceparent: undefined,
      crossedNetwork: false,
    });
  });

  it('takes an IPv4-mapped spelling for the IPv4 address', () => {
    expect(target(read(connect('[::ffff:10.0.0.2]:80')))).to.equal('10.0.0.2 80');
  });

  it('accepts an IPv6 address', () => {
    const localAddress = { ip: ip('2001:db8::2'), port: 15_008 };
    expect(target(read(connect('[2001:db8::2]:80'), { localAddress }))).to.equal('2001:db8::2 80');
  });

  describe('with a bad request line', () => {
    const table: readonly (readonly [name: string, headers: HeaderList, want: string])[] = [
      [
        'another method',
        [
          [':method', 'GET'],
          [':authority', '10.0.0.2:80'],
        ],
        '400 expected method CONNECT, got GET',
      ],
      ['no method', [[':authority', '10.0.0.2:80']], '400 expected method CONNECT, got none'],
      [
        'the method in small letters',
        [
          [':method', 'connect'],
          [':authority', '10.0.0.2:80'],
        ],
        '400 expected method CONNECT, got connect',
      ],
      [
        'two methods',
        [[':method', 'CONNECT'], ...connect('10.0.0.2:80')],
        '400 expected method CONNECT, got CONNECT',
      ],
      [
        'no authority',
        [[':method', 'CONNECT']],
        '400 invalid CONNECT address: want exactly one :authority',
      ],
      [
        'two authorities',
        connect('10.0.0.2:80', [':authority', '10.0.0.2:81']),
        '400 invalid CONNECT address: want exactly one :authority',
      ],
      [
        'a path',
        connect('10.0.0.2:80', [':path', '/']),
        '400 expected a plain CONNECT, got one with :path',
      ],
      [
        'a scheme',
        connect('10.0.0.2:80', [':scheme', 'https']),
        '400 expected a plain CONNECT, got one with :scheme',
      ],
      [
        'a protocol',
        connect('10.0.0.2:80', [':protocol', 'connect-udp']),
        '400 expected a plain CONNECT, got one with :protocol',
      ],
      ['no port', connect('10.0.0.2'), '400 invalid CONNECT address 10.0.0.2'],
      ['port 0', connect('10.0.0.2:0'), '400 invalid CONNECT address 10.0.0.2:0'],
      ['a user', connect('user@10.0.0.2:80'), '400 invalid CONNECT address user@10.0.0.2:80'],
      ['a zone', connect('[fe80::1%eth0]:80'), '400 invalid CONNECT address [fe80::1%eth0]:80'],
      ['an empty authority', connect(''), '400 invalid CONNECT address '],
      ['another address', connect('10.0.0.3:80'), '400 ip mismatch: 10.0.0.2 != 10.0.0.3'],
    ];
    for (const [name, headers, want] of table) {
      it(`refuses ${name}`, () => {
        expect(refusal(read(headers))).to.equal(want);
      });
    }

    it('cuts what it quotes', () => {
      expect(refusal(read(connect('x'.repeat(10_000)))).length).to.be.lessThan(400);
    });
  });

  it('refuses with 503 when the pod is not known, but checks the request first', () => {
    expect(refusal(read(connect('10.0.0.2:80'), { workload: undefined }))).to.equal(
      '503 failed to fetch information about local workload: default/pod',
    );
    expect(refusal(read(connect('10.0.0.2'), { workload: undefined }))).to.match(/^400 /);
  });

  for (const port of [15_001, 15_006, 15_008, 15_080]) {
    it(`refuses the own port ${port}, asked for or resolved`, () => {
      const self = '503 attempted recursive call to ourselves';
      expect(refusal(read(connect(`10.0.0.2:${port}`)))).to.equal(self);
      const trap = serving(pod, [web, ports({ 80: port })]);
      const trapped = storeOf({ services: [web], workloads: [trap] });
      expect(refusal(read(connect('web.example:80'), { workload: trap, view: trapped }))).to.equal(
        self,
      );
      const tunnel = { ...pod, applicationTunnel: { protocol: 'NONE', port } } as const;
      expect(refusal(read(connect('10.0.0.2:80'), { workload: tunnel }))).to.equal(self);
    });
  }

  describe('for a hostname', () => {
    it('resolves the port of the endpoint, and connects to the own address', () => {
      const request = read(connect('web.example:80'));
      expect(target(request)).to.equal('10.0.0.2 1234');
      expect(request).to.deep.include({ service: web, authority: 'web.example:80' });
    });

    it('finds it in any case', () => {
      expect(target(read(connect('WEB.Example:80')))).to.equal('10.0.0.2 1234');
    });

    it("falls back to the service's target port", () => {
      const bare = serving(pod, [web, ports({})]);
      const other = storeOf({ services: [web], workloads: [bare] });
      expect(target(read(connect('web.example:80'), { view: other }))).to.equal('10.0.0.2 8080');
    });

    it('refuses one that is not known', () => {
      expect(refusal(read(connect('other.example:80')))).to.equal(
        '503 no service or workload for hostname: other.example',
      );
    });

    it("takes the pod's own hostname for the pod", () => {
      const named = { ...pod, hostname: 'pod.example' };
      expect(target(read(connect('pod.example:81'), { workload: named }))).to.equal('10.0.0.2 81');
    });

    it('refuses a port that it can not resolve: not there, or named and not mapped', () => {
      expect(refusal(read(connect('web.example:81')))).to.equal(
        '503 requested service web.example:81 found, but cannot resolve port',
      );
      const named = { ...web, ports: ports({ 80: 0 }) };
      const bare = serving(pod, [named, ports({})]);
      const other = storeOf({ services: [named], workloads: [bare] });
      expect(refusal(read(connect('web.example:80'), { view: other }))).to.equal(
        '503 requested service web.example:80 found, but cannot resolve port',
      );
    });

    it("takes the service of the pod's namespace", () => {
      const elsewhere = { ...web, namespace: 'a-first', ports: ports({ 80: 9 }) };
      const other = storeOf({ services: [elsewhere, web], workloads: [pod] });
      expect(target(read(connect('web.example:80'), { view: other }))).to.equal('10.0.0.2 1234');
    });
  });

  describe('at a waypoint', () => {
    const waypoint = workload('waypoint', '10.0.0.9');
    const front = service('wp.example', '10.1.0.9');
    const behind = serving(waypoint, [front, ports({ 15008: 15_008 })]);
    const localAddress = { ip: ip('10.0.0.9'), port: 15_008 };

    function at(
      authority: string,
      given: {
        readonly local?: Workload;
        readonly ofPod?: GatewayAddress;
        readonly ofService?: GatewayAddress;
      },
    ): string {
      const local = given.local ?? behind;
      const mesh: MeshView = storeOf({
        services: [{ ...web, waypoint: given.ofService }, front],
        workloads: [{ ...pod, waypoint: given.ofPod }, local],
      });
      return target(read(connect(authority), { workload: local, view: mesh, localAddress }));
    }

    const gateways: readonly (readonly [string, GatewayAddress])[] = [
      ['its address', gatewayAt('/10.0.0.9')],
      ["its service's address", gatewayAt('/10.1.0.9')],
      ["its service's name", gatewayNamed('default', 'wp.example')],
    ];
    for (const [name, gateway] of gateways) {
      it(`accepts a pod that is bound to it by ${name}`, () => {
        expect(at('10.0.0.2:80', { ofPod: gateway })).to.equal('10.0.0.9 80');
      });

      it(`accepts a service that is bound to it by ${name}`, () => {
        expect(at('10.1.0.1:80', { ofService: gateway })).to.equal('10.0.0.9 80');
      });
    }

    it('accepts a pod that is bound to it by its hostname', () => {
      const named = { ...waypoint, hostname: 'wp.example' };
      const ofPod = gatewayNamed('default', 'wp.example');
      expect(at('10.0.0.2:80', { local: named, ofPod })).to.equal('10.0.0.9 80');
    });

    const weighted = (weight: number) =>
      storeOf({
        services: [
          { ...web, weightedWaypoints: [{ destination: gatewayAt('/10.0.0.9'), weight }] },
        ],
        workloads: [behind],
      });
    const to = (mesh: MeshView) =>
      target(read(connect('10.1.0.1:80'), { workload: behind, view: mesh, localAddress }));
    it('accepts a service that is bound to it with a weight, but not with weight 0', () => {
      expect(to(weighted(1))).to.equal('10.0.0.9 80');
      expect(to(weighted(0))).to.match(/^400 ip mismatch/);
    });

    it('accepts a service of another namespace that only its own namespace sees', () => {
      const hidden = {
        ...web,
        namespace: 'other',
        visibility: 'Namespace',
        waypoint: gatewayAt('/10.0.0.9'),
      } as const;
      const mesh = storeOf({ services: [hidden], workloads: [behind] });
      expect(
        target(read(connect('10.1.0.1:80'), { workload: behind, view: mesh, localAddress })),
      ).to.equal('10.0.0.9 80');
    });

    const mismatches: readonly (readonly [string, string, Parameters<typeof at>[1]])[] = [
      ['a pod that is not bound', '10.0.0.2:80', {}],
      ['a service that is not bound', '10.1.0.1:80', {}],
      ['an unknown address', '10.7.0.1:80', { ofPod: gatewayAt('/10.0.0.9') }],
      ['a pod that is bound to another one', '10.0.0.2:80', { ofPod: gatewayAt('/10.0.0.8') }],
      ['a pod that is bound in another network', '10.0.0.2:80', { ofPod: gatewayAt('n/10.0.0.9') }],
      ['a pod whose service only is bound', '10.0.0.2:80', { ofService: gatewayAt('/10.0.0.9') }],
      ['a service whose pod only is bound', '10.1.0.1:80', { ofPod: gatewayAt('/10.0.0.9') }],
      [
        'a pod bound to a service that it is no endpoint of',
        '10.0.0.2:80',
        { local: waypoint, ofPod: gatewayAt('/10.1.0.9') },
      ],
    ];
    for (const [name, authority, given] of mismatches) {
      it(`refuses ${name}`, () => {
        expect(at(authority, given)).to.match(/^400 ip mismatch: 10\.0\.0\.9 != /);
      });
    }
  });

  describe('with an application tunnel', () => {
    const proxy = { protocol: 'PROXY', port: 15_088 } as const;

    it('delivers everything on its port, and names the target in a PROXY header', () => {
      expect(through(proxy, '10.7.0.1:80')).to.deep.include({
        kind: 'accepted',
        target: { ip: '10.0.0.2', port: 15_088 },
        connectTo: { ip: '127.0.0.1', port: 15_088 },
        proxyTarget: { ip: '10.7.0.1', port: 80 },
        keepSourceAddress: false,
      });
    });

    it("uses the pod's address and the client's if loopback delivery is off", () => {
      expect(through(proxy, '10.7.0.1:80', { localhostAppTunnel: false })).to.deep.include({
        connectTo: { ip: '10.0.0.2', port: 15_088 },
        proxyTarget: { ip: '10.7.0.1', port: 80 },
        keepSourceAddress: true,
      });
    });

    it('uses the loopback address of the same family', () => {
      const localAddress = { ip: ip('2001:db8::2'), port: 15_008 };
      expect(through(proxy, '[2001:db8::9]:80', { localAddress })).to.deep.include({
        connectTo: { ip: '::1', port: 15_088 },
      });
    });

    it('keeps the port that was asked for when it has none', () => {
      const anyPort = { protocol: 'PROXY', port: undefined } as const;
      expect(target(through(anyPort, '10.7.0.1:80'))).to.equal('10.0.0.2 80');
    });

    it('names no target without the PROXY protocol', () => {
      expect(through({ protocol: 'NONE', port: 15_088 }, '10.7.0.1:80')).to.deep.include({
        connectTo: { ip: '10.0.0.2', port: 15_088 },
        proxyTarget: undefined,
        keepSourceAddress: true,
      });
    });

    const named: readonly (readonly [string, readonly string[], string, string])[] = [
      ["the service's address and port", ['/10.1.0.1'], '', '10.1.0.1'],
      ['IPv4 before IPv6', ['/2001:db8::1', '/10.1.0.1'], '', '10.1.0.1'],
      ['its own network first', ['/10.1.0.1', 'n/2001:db8::1'], 'n', '2001:db8::1'],
      ['any network if it must', ['far/10.1.0.1'], 'n', '10.1.0.1'],
    ];
    for (const [name, vips, network, want] of named) {
      it(`names ${name} for a hostname`, () => {
        const mesh = storeOf({ services: [{ ...web, vips: vips.map(vip) }], workloads: [pod] });
        expect(through(proxy, 'web.example:80', { view: mesh, network })).to.deep.include({
          target: { ip: '10.0.0.2', port: 15_088 },
          proxyTarget: { ip: want, port: 80 },
        });
      });
    }

    it('refuses a hostname without an address, which the header could not name', () => {
      const mesh = storeOf({ services: [{ ...web, vips: [] }], workloads: [pod] });
      expect(refusal(through(proxy, 'web.example:80', { view: mesh }))).to.equal(
        '503 requested service web.example found, but has no IP addresses',
      );
    });
  });

  describe('and the other headers', () => {
    const trace = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

    it('are passed on as texts', () => {
      expect(
        read(
          connect(
            '10.0.0.2:80',
            ['baggage', 'a=1'],
            ['forwarded', 'for="10.0.0.1:5";host=web.example'],
            ['baggage', 'b=2'],
            ['traceparent', trace],
          ),
        ),
      ).to.deep.include({
        baggage: ['a=1', 'b=2'],
        forwardedHost: 'web.example',
        traceparent: trace,
      });
    });

    it('are left out when they make no sense', () => {
      expect(
        read(connect('10.0.0.2:80', ['forwarded', 'nonsense'], ['traceparent', '00-x'])),
      ).to.deep.include({ kind: 'accepted', forwardedHost: undefined, traceparent: undefined });
    });

    it('are left out when they are ambiguous', () => {
      const twice = read(connect('10.0.0.2:80', ['traceparent', trace], ['traceparent', trace]));
      expect(twice).to.include({ traceparent: undefined });
    });

    it('tell whether the request crossed a gateway: another network, whatever its case', () => {
      expect(from('far', 'near')).to.include({ crossedNetwork: true });
      expect(from('NEAR', 'near')).to.include({ crossedNetwork: false });
      expect(from('', '')).to.include({ crossedNetwork: false });
    });

    it('never move the target', () => {
      const lies = [
        ['forwarded', 'for=1.2.3.4;host=10.9.9.9'],
        ['host', '10.9.9.9:1'],
        ['x-forwarded-for', '1.2.3.4'],
      ] as const;
      expect(target(read(connect('10.0.0.2:80', ...lies)))).to.equal('10.0.0.2 80');
    });
  });
});
