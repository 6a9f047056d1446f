import { expect } from 'chai';
import { describe, it } from 'mocha';

import { Action } from '#api/gen/waypoint_pb.ts';
import { identity, ip, service, storeOf } from '#tests/support/mesh.ts';
import { requestHead } from '#tests/support/request-head.ts';
import { exact, policy, prefix, route, SHOP } from '#tests/support/waypoint-resources.ts';
import { decide, judgeConnection } from '#waypoint/exchange/decide.ts';
import type { ConnectionFacts, Decision } from '#waypoint/exchange/decision.ts';
import type { Policy } from '#waypoint/policy/model.ts';
import { PolicySet } from '#waypoint/policy/policy-set.ts';
import type { Route } from '#waypoint/routing/model.ts';
import { RouteTable } from '#waypoint/routing/table.ts';

const shop = service(SHOP.hostname, '10.96.0.10');
const other = service('other.default.svc.cluster.local', '10.96.0.11');
const OTHER = { namespace: 'default', hostname: other.hostname };
const FACTS: ConnectionFacts = {
  identity: identity('spiffe://cluster.local/ns/default/sa/ann'),
  sourceIp: ip('10.0.0.7'),
  sourceWorkload: undefined,
  destination: { ip: ip('10.96.0.10'), port: 80 },
  target: { kind: 'service', service: shop, port: 80 },
};

function setOf(policies: readonly Policy[]): PolicySet {
  const set = new PolicySet();
  set.apply(policies, []);
  return set;
}

function decided(
  given: { readonly routes?: readonly Route[]; readonly policies?: readonly Policy[] },
  head: Parameters<typeof requestHead>[0] = {},
): Decision {
  const routes = new RouteTable();
  routes.apply(given.routes ?? [], []);
  const policies = setOf(given.policies ?? []);
  const sources = {
    view: storeOf({ services: [shop, other] }),
    routes,
    policies,
    random: () => 0.5,
    noticed: () => undefined,
  };
  return decide(sources, FACTS, requestHead(head));
}

function ruled(rule: object, more: object = {}): { routes: Route[] } {
  const backends = [{ service: OTHER, port: 80, weight: 1 }];
  return { routes: [route('a', { rules: [{ backends, ...rule }], ...more })] };
}

const edit = (value: object): object => ({ kind: { case: 'requestHeaders', value } });

describe('decide()', () => {
  it('forwards to the service itself when there is no route', () => {
    const decision = decided({}, { path: '/a/../b?c', headers: [['x-request-id', 'r']] });
    expect(decision).to.deep.include({
      kind: 'forward',
      target: FACTS.target,
      timeoutMs: undefined,
    });
    const { requestPlan } = decision as Decision & { kind: 'forward' };
    // Forwarded is what was judged.
    expect(requestPlan.path).to.equal('/b?c');
    expect(requestPlan.extra).to.deep.equal([['x-forwarded-proto', 'http']]);
    expect(requestPlan.edits?.dropped.map(({ name }) => name)).to.deep.equal([
      'x-forwarded-client-cert',
    ]);
  });

  it('answers 400 to a path that leads nowhere', () => {
    expect(decided({}, { path: '/../x' })).to.include({ kind: 'answer', status: 400 });
  });

  it('answers 403 to what a policy denies, with the rule', () => {
    const policies = [
      policy('d', { action: Action.DENY, rules: [{ to: [{ methods: [exact('DELETE')] }] }] }),
    ];
    expect(decided({ policies }, { method: 'DELETE' })).to.include({
      kind: 'answer',
      status: 403,
      body: 'RBAC: access denied',
      policy: 'default/d, rule 0',
      details: 'rbac_access_denied: explicitly denied by: default/d, rule 0',
    });
    expect(decided({ policies })).to.include({ kind: 'forward' });
  });

  it('follows a route to another service', () => {
    const decision = decided(ruled({ name: 'r', timeouts: { requestMs: 1_000n } }));
    expect(decision).to.deep.include({
      kind: 'forward',
      target: { kind: 'service', service: other, port: 80 },
      route: 'HTTPRoute/default/a/r',
      timeoutMs: 1_000,
    });
  });

  for (const [what, rule, details] of [
    ['without backends', { backends: [] }, 'no_backend_with_weight'],
    [
      'whose backend is invalid',
      { backends: [{ weight: 1, invalid: 'no such' }] },
      'invalid_backend: no such',
    ],
    ['that is invalid', { invalid: 'a filter' }, 'invalid_route: a filter'],
    [
      'to a service that is not known',
      { backends: [{ service: { namespace: 'x', hostname: 'y' }, weight: 1 }] },
      'unknown_backend: x/y',
    ],
  ] as const) {
    it(`answers 500 to a rule ${what}`, () => {
      expect(decided(ruled(rule))).to.include({ kind: 'answer', status: 500, details });
    });
  }

  it('answers 404 when routes exist and none matches', () => {
    const decision = decided(ruled({ matches: [{ path: exact('/x') }] }));
    expect(decision).to.include({ kind: 'answer', status: 404, flag: 'NR' });
  });

  it('splits by weight', () => {
    const backends = [
      { service: SHOP, port: 80, weight: 1 },
      { service: OTHER, port: 80, weight: 3 },
    ];
    // 0.5 of 4 lies in the second.
    expect(decided(ruled({ backends }))).to.deep.include({
      target: { kind: 'service', service: other, port: 80 },
    });
  });

  for (const [what, redirect, head, location] of [
    ['to another scheme', { scheme: 'https' }, { authority: 'shop:8080' }, 'https://shop/a?b'],
    ['to another host', { hostname: 'far' }, { authority: 'shop:8080' }, 'http://far:8080/a?b'],
    ['to another port', { port: 81 }, {}, 'http://shop:81/a?b'],
    ['to the usual port', { scheme: 'https', port: 443 }, {}, 'https://shop/a?b'],
    ['to a path', { path: { kind: { case: 'full', value: '/z' } } }, {}, 'http://shop/z?b'],
    [
      'to another prefix',
      { path: { kind: { case: 'prefix', value: '/z' } } },
      {},
      'http://shop/z?b',
    ],
  ] as const) {
    it(`redirects ${what}`, () => {
      const filters = [{ kind: { case: 'redirect', value: { status: 301, ...redirect } } }];
      const rules = { matches: [{ path: prefix('/a') }], filters };
      const decision = decided(ruled(rules), { path: '/a?b', ...head });
      expect(decision).to.deep.include({
        kind: 'answer',
        status: 301,
        fields: [['location', location]],
      });
    });
  }

  it('answers as gRPC wants it when a rule of a GRPCRoute can not be carried out', () => {
    const calls = {
      ...route('a', { rules: [] }),
      rules: ruled({ invalid: 'no such filter' }).routes.flatMap(({ rules }) =>
        rules.map((one) => ({ ...one, route: 'GRPCRoute/default/a' })),
      ),
    };
    expect(decided({ routes: [calls] })).to.include({ kind: 'answer', status: 503 });
  });

  describe('with CORS', () => {
    const cors = {
      kind: { case: 'cors', value: { allowOrigins: ['https://a.test'], maxAgeS: 5 } },
    };
    const page = { headers: [['origin', 'https://a.test']] } as const;
    const preflight = {
      method: 'OPTIONS',
      headers: [...page.headers, ['access-control-request-method', 'PUT']],
    } as const;

    it('answers a page that asks, when the policies let it in', () => {
      const decision = decided(ruled({ filters: [cors] }), preflight);
      expect(decision).to.include({ kind: 'answer', status: 200, details: 'cors_preflight' });
      expect(decision).to.have.deep.property('fields', [
        ['access-control-allow-origin', 'https://a.test'],
        ['vary', 'Origin'],
        ['access-control-max-age', '5'],
      ]);
      const policies = [
        policy('d', { action: Action.DENY, rules: [{ to: [{ methods: [exact('OPTIONS')] }] }] }),
      ];
      expect(decided({ ...ruled({ filters: [cors] }), policies }, preflight)).to.include({
        status: 403,
      });
    });

    it('puts its own permission in the place of the server’s, whatever else the rule edits', () => {
      const value = { set: [{ name: 'access-control-allow-origin', value: '*' }] };
      const filters = [cors, { kind: { case: 'responseHeaders', value } }];
      const { responsePlan } = decided(ruled({ filters }), page) as Decision & { kind: 'forward' };
      expect(responsePlan.edits?.appended).to.deep.equal([
        ['access-control-allow-origin', 'https://a.test'],
        ['vary', 'Origin'],
      ]);
      expect(responsePlan.edits?.dropped.map(({ name }) => name)).to.include(
        'access-control-allow-origin',
      );
    });

    it('lets a page see a redirect, and changes nothing for others', () => {
      const redirect = { kind: { case: 'redirect', value: { status: 302, hostname: 'far' } } };
      const seen = decided(ruled({ filters: [cors, redirect] }), page);
      expect(seen).to.have.deep.property('fields', [
        ['location', 'http://far/'],
        ['access-control-allow-origin', 'https://a.test'],
        ['vary', 'Origin'],
      ]);
      expect(decided(ruled({ filters: [cors] }))).to.have.deep.property('responsePlan', {});
    });
  });

  for (const [matched, replaced, path, wanted] of [
    ['/a', '/z', '/a/b?c', '/z/b?c'],
    ['/a/', '/z/', '/a/b', '/z/b'],
    ['/a', '/', '/a/b', '/b'],
    ['/a', '/', '/a', '/'],
    ['/', '/z', '/b', '/z/b'],
  ] as const) {
    it(`rewrites the prefix ${matched} of ${path} to ${replaced}`, () => {
      const value = { path: { kind: { case: 'prefix', value: replaced } }, hostname: 'far' };
      const filters = [{ kind: { case: 'rewrite', value } }];
      const decision = decided(ruled({ matches: [{ path: prefix(matched) }], filters }), { path });
      expect((decision as Decision & { kind: 'forward' }).requestPlan).to.include({
        path: wanted,
        authority: 'far',
      });
    });
  }

  it('edits headers by the rule first, then by the backend', () => {
    const backends = [
      {
        service: OTHER,
        port: 80,
        weight: 1,
        filters: [edit({ set: [{ name: 'x-a', value: '2' }], remove: ['x-b'] })],
      },
    ];
    const filters = [
      edit({
        add: [
          { name: 'x-a', value: '1' },
          { name: 'x-b', value: '1' },
        ],
      }),
    ];
    const { requestPlan } = decided(ruled({ backends, filters })) as Decision & { kind: 'forward' };
    expect(requestPlan.edits?.appended).to.deep.equal([['x-a', '2']]);
    expect(requestPlan.edits?.dropped.map(({ name }) => name)).to.include.members(['x-a', 'x-b']);
  });
});

describe('judgeConnection()', () => {
  it('says which policy does not let bytes in', () => {
    const denying = policy('d', {
      action: Action.DENY,
      rules: [{ to: [{ methods: [exact('GET')] }] }],
    });
    const sources = {
      view: storeOf({}),
      routes: new RouteTable(),
      policies: setOf([denying]),
      random: () => 0.5,
      noticed: () => undefined,
    };
    expect(judgeConnection(sources, FACTS)).to.equal('explicitly denied by: default/d, rule 0');
    expect(judgeConnection({ ...sources, policies: setOf([]) }, FACTS)).to.equal(undefined);
  });
});
