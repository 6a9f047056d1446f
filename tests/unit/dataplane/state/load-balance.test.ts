import { expect } from 'chai';
import { describe, it } from 'mocha';

import {
  type Choice,
  chooseEndpoint,
  chooseIp,
  drawByWeight,
  nearness,
} from '#dataplane/state/load-balance.ts';
import type { LoadBalancing, LocalityScope, Service } from '#dataplane/state/service.ts';
import type { PortMap, Workload } from '#dataplane/state/workload.ts';
import { gatewayAt, ip, ports, service, workload } from '#tests/support/mesh.ts';

const source = workload('client', '10.0.0.1', {
  network: 'n1',
  clusterId: 'c1',
  node: 'node1',
  locality: { region: 'r1', zone: 'z1', subzone: 's1' },
});

/** A workload at a place such as `n1/r1/z1`, with the name of that place. */
function at(place: string, more: Partial<Workload> = {}): Workload {
  const [network = '', region = '', zone = ''] = place.split('/');
  return workload(place, '10.0.0.9', { network, locality: { region, zone, subzone: '' }, ...more });
}

function balanced(mode: LoadBalancing['mode'], ...scopes: readonly LocalityScope[]): LoadBalancing {
  return { mode, routingPreferences: scopes, healthPolicy: 'OnlyHealthy' };
}

/** The names that draws spread over the whole range give. */
function drawn(
  of: Service,
  workloads: readonly Workload[],
  map: PortMap = ports({ 80: 1 }),
): Set<string> {
  return names(of, workloads, { map });
}

function names(
  of: Service,
  workloads: readonly Workload[],
  more: { readonly map?: PortMap } & Partial<Choice> = {},
): Set<string> {
  const { map = ports({}), ...rest } = more;
  const endpoints = workloads.map((one) => ({ workload: one, ports: map }));
  const choice: Choice = {
    service: of,
    endpoints,
    source,
    servicePort: 80,
    lookingFor: 'workload',
    ...rest,
  };
  const found = new Set<string>();
  for (let step = 0; step < 100; step += 1) {
    const chosen = chooseEndpoint(choice, () => step / 100);
    if (chosen !== undefined) found.add(chosen.workload.name);
  }
  return found;
}

const web = service('web.example', '10.1.0.1');

describe('nearness()', () => {
  const plain: readonly LocalityScope[] = ['Region', 'Zone'];
  const networkFirst: readonly LocalityScope[] = ['Network', 'Region', 'Zone'];
  const table: readonly (readonly [readonly LocalityScope[], string, number])[] = [
    [networkFirst, 'n1/r1/z1', 5],
    [networkFirst, 'n1/r1/z2', 4],
    [networkFirst, 'n1/r2/z2', 3],
    [networkFirst, 'n1/r2/z1', 3],
    [networkFirst, 'n2/r1/z1', 2],
    [networkFirst, 'n2/r1/z2', 1],
    [networkFirst, 'n2/r2/z1', 0],
    [plain, 'n2/r1/z1', 2],
    [plain, 'n1/r1/z2', 1],
    [plain, 'n1/r2/z1', 0],
    [['Region', 'Network', 'Zone'], 'n2/r1/z1', 1],
    [['Network'], 'n1/r2/z2', 1],
    [[], 'n1/r1/z1', 0],
  ];
  for (const [scopes, place, want] of table) {
    it(`is ${want} for ${place} with ${scopes.join(', ') || 'no scope'}`, () => {
      expect(nearness(scopes, source, at(place))).to.equal(want);
    });
  }

  const single: readonly (readonly [LocalityScope, Partial<Workload>])[] = [
    ['Region', { locality: { region: 'x', zone: 'z1', subzone: 's1' } }],
    ['Zone', { locality: { region: 'r1', zone: 'x', subzone: 's1' } }],
    ['Subzone', { locality: { region: 'r1', zone: 'z1', subzone: 'x' } }],
    ['Node', { node: 'x' }],
    ['Cluster', { clusterId: 'x' }],
    ['Network', { network: 'x' }],
  ];
  for (const [scope, difference] of single) {
    it(`compares nothing but the ${scope} for ${scope}`, () => {
      expect(nearness([scope], source, { ...source, ...difference })).to.equal(0);
      for (const [other, otherDifference] of single) {
        if (other === scope) continue;
        expect(nearness([scope], source, { ...source, ...otherDifference })).to.equal(1);
      }
    });
  }
});

describe('chooseEndpoint()', () => {
  it('takes any endpoint without preferences, and in standard mode whatever they are', () => {
    const all = [at('n1/r1/z1'), at('n1/r2/z2')];
    expect(drawn(web, all)).to.deep.equal(new Set(['n1/r1/z1', 'n1/r2/z2']));
    const standard = { ...web, loadBalancer: balanced('Standard', 'Region') };
    expect(drawn(standard, all)).to.deep.equal(new Set(['n1/r1/z1', 'n1/r2/z2']));
  });

  it('fails over to the next nearest, step by step', () => {
    const failover = { ...web, loadBalancer: balanced('Failover', 'Network', 'Region', 'Zone') };
    const steps = ['n1/r1/z1', 'n1/r1/z2', 'n1/r2/z2', 'n2/r1/z1', 'n2/r2/z2'];
    for (const [index, nearest] of steps.entries()) {
      const left = steps.slice(index).map((place) => at(place));
      expect(drawn(failover, left.toReversed())).to.deep.equal(new Set([nearest]));
    }
  });

  it('keeps all of the nearest', () => {
    const failover = { ...web, loadBalancer: balanced('Failover', 'Region') };
    const all = [at('n1/r1/z1'), at('n2/r1/z2'), at('n1/r2/z1')];
    expect(drawn(failover, all)).to.deep.equal(new Set(['n1/r1/z1', 'n2/r1/z2']));
  });

  it('wants every scope in strict mode, and nothing if none has them all', () => {
    const strict = { ...web, loadBalancer: balanced('Strict', 'Network', 'Region') };
    const all = [at('n1/r1/z2'), at('n1/r2/z1'), at('n2/r1/z1')];
    expect(drawn(strict, all)).to.deep.equal(new Set(['n1/r1/z2']));
    expect(drawn(strict, all.slice(1)).size).to.equal(0);
  });

  it('leaves out unhealthy endpoints unless the service allows them', () => {
    const all = [at('well'), at('ill', { status: 'Unhealthy' })];
    expect(drawn(web, all)).to.deep.equal(new Set(['well']));
    const anyHealth = { ...balanced('Standard'), healthPolicy: 'AllowAll' } as const;
    expect(drawn({ ...web, loadBalancer: anyHealth }, all).size).to.equal(2);
  });

  it('leaves out a workload without an address, unless its hostname or a gateway leads to it', () => {
    const nowhere = at('n1/nowhere', { ips: [] });
    const named = at('n1/named', { ips: [], hostname: 'db.example' });
    const behind = at('n2/behind', { ips: [], networkGateway: gatewayAt('n2/10.9.0.1') });
    const lost = at('n2/lost', { ips: [] });
    const near = at('n1/near', { ips: [], networkGateway: gatewayAt('n1/10.9.0.1') });
    const all = [nowhere, named, behind, lost, near];
    expect(drawn(web, all)).to.deep.equal(new Set(['n1/named', 'n2/behind']));
  });

  it('draws in proportion to capacity', () => {
    const counts = new Map<string, number>();
    const endpoints = [1, 3, 0].map((capacity) => ({
      workload: at(`capacity ${capacity}`, { capacity }),
      ports: ports({ 80: 1 }),
    }));
    const choice = {
      service: web,
      endpoints,
      source,
      servicePort: 80,
      lookingFor: 'workload',
    } as const;
    for (let step = 0; step < 400; step += 1) {
      const name = chooseEndpoint(choice, () => step / 400)?.workload.name ?? '';
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    expect(Object.fromEntries(counts)).to.deep.equal({ 'capacity 1': 100, 'capacity 3': 300 });
  });

  it('gives nothing when all capacities are 0, and when there is no endpoint', () => {
    expect(drawn(web, [at('a', { capacity: 0 })]).size).to.equal(0);
    expect(drawn(web, []).size).to.equal(0);
  });

  describe('and the port', () => {
    const tunnel = { protocol: 'PROXY', port: 15_088 } as const;
    type Row = readonly [
      name: string,
      given: {
        readonly lookingFor?: Choice['lookingFor'];
        readonly service?: PortMap;
        readonly endpoint?: PortMap;
        readonly workload?: Partial<Workload>;
      },
      want: number | undefined,
    ];
    const table: readonly Row[] = [
      ["the endpoint's own", { service: ports({ 80: 8080 }), endpoint: ports({ 80: 1234 }) }, 1234],
      ["the service's target", { service: ports({ 80: 8080 }) }, 8080],
      ['none for a named port that the endpoint lacks', { service: ports({ 80: 0 }) }, undefined],
      [
        'a named port that the endpoint has',
        { service: ports({ 80: 0 }), endpoint: ports({ 80: 7 }) },
        7,
      ],
      [
        'none for a port that the service lacks',
        { service: ports({ 81: 1 }), endpoint: ports({ 80: 7 }) },
        undefined,
      ],
      [
        'none for it with an application tunnel either',
        { service: ports({}), workload: { applicationTunnel: tunnel } },
        undefined,
      ],
      [
        'as asked for, at a waypoint with an application tunnel',
        { lookingFor: 'waypoint', service: ports({}), workload: { applicationTunnel: tunnel } },
        80,
      ],
      ['none at a waypoint without one', { lookingFor: 'waypoint', service: ports({}) }, undefined],
      [
        'none at a waypoint whose tunnel has no port',
        {
          lookingFor: 'waypoint',
          service: ports({}),
          workload: { applicationTunnel: { protocol: 'NONE', port: undefined } },
        },
        undefined,
      ],
      [
        "the service's target, at a waypoint with a tunnel",
        {
          lookingFor: 'waypoint',
          service: ports({ 80: 8080 }),
          workload: { applicationTunnel: tunnel },
        },
        8080,
      ],
    ];
    for (const [name, given, want] of table) {
      it(`is ${name}`, () => {
        const endpoint = { workload: at('a', given.workload), ports: given.endpoint ?? ports({}) };
        const chosen = chooseEndpoint(
          {
            service: { ...web, ports: given.service ?? ports({}) },
            endpoints: [endpoint],
            source,
            servicePort: 80,
            lookingFor: given.lookingFor ?? 'workload',
          },
          () => 0,
        );
        expect(chosen?.port).to.equal(want);
      });
    }
  });
});

describe('drawByWeight()', () => {
  it('gives something for the largest number below 1, whatever the rounding', () => {
    const largest = 1 - 2 ** -53;
    for (const weights of [[3], [1, 2, 0], [0.1, 0.2, 0.3], [4_294_967_295, 4_294_967_295]]) {
      expect(
        drawByWeight(
          weights,
          (weight) => weight,
          () => largest,
        ),
      ).to.be.greaterThan(0);
    }
  });
});

const only = (ipFamilies: Service['ipFamilies']) => service('web.example', '', { ipFamilies });

describe('chooseIp()', () => {
  const dual = workload('a', '', { ips: [ip('10.0.0.1'), ip('2001:db8::1'), ip('10.0.0.2')] });
  type Row = readonly [
    string,
    Workload,
    Service | undefined,
    string | undefined,
    string | undefined,
  ];
  const table: readonly Row[] = [
    ['the requested one if the workload owns it', dual, only('IPv6'), '10.0.0.2', '10.0.0.2'],
    ['the first of the requested family', dual, undefined, '2001:db8::9', '2001:db8::1'],
    [
      'the first of the other family if need be',
      workload('b', '10.0.0.1'),
      undefined,
      '::9',
      '10.0.0.1',
    ],
    ['the family that the service permits', dual, only('IPv4'), '2001:db8::9', '10.0.0.1'],
    ['the other family that the service permits', dual, only('IPv6'), '10.9.0.9', '2001:db8::1'],
    ['either for a dual service', dual, only('Dual'), '2001:db8::9', '2001:db8::1'],
    ['the first when nothing was requested', dual, undefined, undefined, '10.0.0.1'],
    [
      'none when the service permits none',
      workload('b', '10.0.0.1'),
      only('IPv6'),
      '::9',
      undefined,
    ],
    ['none when there is none', workload('b', ''), undefined, '10.0.0.1', undefined],
  ];
  for (const [name, of, service_, requested, want] of table) {
    it(`takes ${name}`, () => {
      const asked = requested === undefined ? undefined : ip(requested);
      expect(chooseIp(of, service_, asked)).to.equal(want);
    });
  }
});
