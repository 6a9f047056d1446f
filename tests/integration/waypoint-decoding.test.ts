// What istiod sends to waypoints is what waypoints take: one that is refused leaves what was there before in force.
import { expect } from 'chai';
import {
  type Arbitrary,
  array,
  assert,
  constantFrom,
  oneof,
  property,
  record,
  string,
  type WeightedArbitrary,
} from 'fast-check';
import { beforeEach, describe, it } from 'mocha';

import type { WaypointResource } from '#istiod/model/resource.ts';
import {
  authorizationRecord,
  gatewayRecord,
  type MeshWorld,
  meshWorld,
  parentRef,
  routeRecord,
  serviceRecord,
} from '#tests/support/control-plane.ts';
import { decodePolicy } from '#waypoint/policy/decode.ts';
import { decodeRoute } from '#waypoint/routing/decode.ts';

const parentRefs = [parentRef('shelf')];
const regex = (value: string) => ({ matches: [{ path: { type: 'RegularExpression', value } }] });
const header = (name: string, value: string) => ({
  filters: [{ type: 'RequestHeaderModifier', requestHeaderModifier: { set: [{ name, value }] } }],
});
const cors = (given: object) => ({ filters: [{ type: 'CORS', cors: given }] });
const rewrite = (urlRewrite: object) => ({ filters: [{ type: 'URLRewrite', urlRewrite }] });
const backend = (ref: object) => ({ backendRefs: [ref] });
const path = (value: string) => ({ to: [{ operation: { paths: [value] } }] });
const when = (key: string, ...values: readonly string[]) => ({ when: [{ key, values }] });

const RULES: readonly object[] = [
  {},
  regex('/a+'),
  regex('('),
  regex('/(?=a)'),
  regex('x'.repeat(1_025)),
  { matches: [{ path: { type: 'Glob', value: '/' } }] },
  { matches: [{ headers: [{ name: 'A', value: '' }], queryParams: [{ name: 'q', value: 'a' }] }] },
  header('X-A', 'b'),
  header('Host', 'b'),
  header('Transfer-Encoding', 'chunked'),
  header('Content-Length', '1'),
  header('te', 'trailers'),
  header('x y', 'b'),
  header('a', ' b'),
  header('a', 'b\r\nc: d'),
  header('a', 'snow ☃'),
  { filters: [{ type: 'RequestMirror' }] },
  { filters: [{ type: 'CORS' }] },
  cors({ allowOrigins: ['*', 'https://*.a.test', 'http://[::1]:80'], allowMethods: ['*'] }),
  cors({ allowOrigins: ['https://a/b'] }),
  cors({ allowOrigins: ['https://*.*'] }),
  cors({ allowOrigins: ['https://'] }),
  cors({ allowHeaders: ['a b'], exposeHeaders: ['x-a'], allowCredentials: true }),
  cors({ maxAge: 0 }),
  rewrite({ hostname: 'a b' }),
  rewrite({ path: { type: 'ReplaceFullPath', replaceFullPath: 'a\r\nb' } }),
  rewrite({ path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '' } }),
  { filters: [{ type: 'RequestRedirect', requestRedirect: { scheme: 'ftp' } }] },
  { filters: [{ type: 'URLRewrite', urlRewrite: { path: { type: 'Other' } } }] },
  { filters: [{ type: 'RequestRedirect', requestRedirect: { statusCode: 200 } }] },
  { timeouts: { request: '1h', backendRequest: '1.5s' } },
  { retry: { attempts: 3, codes: [503], backoff: '10ms' } },
  backend({ name: 'shelf', port: 80 }),
  backend({ name: 'gone', port: 80 }),
  backend({ name: 'shelf', port: 80, filters: [{ type: 'RequestMirror' }] }),
  backend({ name: 'shelf', port: 80, filters: [{ type: 'CORS' }] }),
  backend({ group: 'example.com', kind: 'Bucket', name: 'b' }),
];

const POLICY_RULES: readonly object[] = [
  {},
  path('/a/*'),
  path('/a/{*}/b/{**}'),
  path('/{**}/a/{**}'),
  path('/a{*}'),
  path('/a*/{*}'),
  path(''),
  { from: [{ source: { principals: ['*', '*a', 'a*', '**', ''] } }] },
  { from: [{ source: { serviceAccounts: ['a', 'b/c', 'b/c/d'] } }] },
  { from: [{ source: { ipBlocks: ['10.0.0.0/8', '::/0', '10.0.0.1'], notIpBlocks: ['ten'] } }] },
  { from: [{ source: { requestPrincipals: ['*'] } }] },
  { to: [{ operation: { ports: ['80', 'http'] } }] },
  when('request.headers[X-User]', 'ann', '*'),
  when('request.headers[a b]', 'ann'),
  when('request.headers[]', 'ann'),
  when('request.auth.claims[iss]', 'x'),
  when('source.ip', '10.0.0.0/8'),
  when('source.ip', 'ten'),
  when('destination.ip', '10.0.0.1'),
  when('remote.ip', '::1/128'),
  when('destination.port', '80', '0'),
  when('source.namespace', 'a*'),
  when('source.principal', 'a'),
  when('source.serviceAccount', 'a', 'b/c'),
  when('connection.sni', 'a'),
  when('source.ip'),
];

/** What people, or their programs, write: words that are right in some place, and anything at all. */
const word = oneof(
  constantFrom(
    '',
    '*',
    '/',
    '/a',
    '/a/*',
    '/{*}/b',
    '/{**}',
    'a*',
    '*a',
    'x-a',
    'Host',
    ':path',
    'te',
  ),
  constantFrom(
    'GET',
    '80',
    '443',
    '0',
    '10.0.0.0/8',
    '::1',
    'a.test',
    'https://a.test',
    'http://*.b',
  ),
  constantFrom(
    '[a-z]+',
    '(',
    'a{2,1}',
    '(?=a)',
    String.raw`\pN`,
    '1s',
    '1.5s',
    'a b',
    'a\r\nb: c',
    '☃',
  ),
  string({ maxLength: 12, unit: 'binary' }),
);
const number = oneof(constantFrom(0, 1, 2, 80, 302, 503, 65_535, 65_536, -1, 1.5, 2 ** 40), word);
const mostly = <T, U>(right: Arbitrary<T>, other: Arbitrary<U>): Arbitrary<T | U> =>
  oneof<[WeightedArbitrary<T | U>, WeightedArbitrary<T | U>]>(
    { arbitrary: right, weight: 9 },
    { arbitrary: other, weight: 1 },
  );
const duration = mostly(constantFrom('1s', '20ms', '0s', '1h2m'), number);
const words = oneof(array(word, { maxLength: 3 }), word);
const type = oneof(constantFrom('Exact', 'PathPrefix', 'RegularExpression', undefined), word);
const named = array(record({ type, name: word, value: word }), { maxLength: 2 });
const pairs = array(record({ name: word, value: word }), { maxLength: 2 });
const modifier = record({ set: pairs, add: pairs, remove: words }, { requiredKeys: [] });
const rewritten = record({
  type: constantFrom('ReplaceFullPath', 'ReplacePrefixMatch', 'Other'),
  replaceFullPath: word,
  replacePrefixMatch: word,
});
const anyFilter = oneof(
  record({ type: constantFrom('RequestHeaderModifier'), requestHeaderModifier: modifier }),
  record({ type: constantFrom('ResponseHeaderModifier'), responseHeaderModifier: modifier }),
  record({
    type: constantFrom('RequestRedirect'),
    requestRedirect: record(
      { scheme: word, hostname: word, port: number, statusCode: number, path: rewritten },
      { requiredKeys: [] },
    ),
  }),
  record({
    type: constantFrom('URLRewrite'),
    urlRewrite: record({ hostname: word, path: rewritten }, { requiredKeys: [] }),
  }),
  record({
    type: constantFrom('CORS'),
    cors: record(
      {
        allowOrigins: words,
        allowMethods: words,
        allowHeaders: words,
        exposeHeaders: words,
        maxAge: number,
        allowCredentials: oneof(constantFrom(true, false), word),
      },
      { requiredKeys: [] },
    ),
  }),
);
const filters = array(anyFilter, { maxLength: 1 });
const written = record(
  {
    name: word,
    matches: array(
      record(
        {
          path: record({ type, value: word }),
          headers: named,
          queryParams: named,
          method: oneof(word, record({ type, service: word, method: word })),
        },
        { requiredKeys: [] },
      ),
      { maxLength: 2 },
    ),
    filters,
    backendRefs: array(
      record(
        { name: constantFrom('shelf', 'gone'), port: number, weight: number, filters },
        { requiredKeys: ['name'] },
      ),
      { maxLength: 2 },
    ),
    timeouts: record({ request: duration, backendRequest: duration }, { requiredKeys: [] }),
    retry: record(
      {
        attempts: mostly(constantFrom(0, 1, 300), number),
        codes: array(mostly(constantFrom(500, 503), number), { maxLength: 2 }),
        backoff: duration,
      },
      { requiredKeys: [] },
    ),
  },
  { requiredKeys: [] },
);

function conditions(...names: readonly string[]) {
  const both = names.flatMap((name) => [name, `not${name[0]?.toUpperCase()}${name.slice(1)}`]);
  return record(Object.fromEntries(both.map((name) => [name, words])), { requiredKeys: [] });
}
const source = conditions(
  'principals',
  'namespaces',
  'serviceAccounts',
  'ipBlocks',
  'remoteIpBlocks',
  'requestPrincipals',
);
const operation = conditions('hosts', 'ports', 'methods', 'paths');
const key = oneof(
  constantFrom('source.ip', 'remote.ip', 'destination.ip', 'source.namespace', 'source.principal'),
  constantFrom('source.serviceAccount', 'destination.port', 'request.auth.claims[a]'),
  word.map((name) => `request.headers[${name}]`),
  word,
);
const writtenPolicy = record(
  {
    from: array(record({ source }), { maxLength: 2 }),
    to: array(record({ operation }), { maxLength: 2 }),
    when: array(record({ key, values: words, notValues: words }, { requiredKeys: ['key'] }), {
      maxLength: 2,
    }),
  },
  { requiredKeys: [] },
);

function only(resources: Iterable<WaypointResource>): WaypointResource {
  const [found, ...others] = resources;
  if (found === undefined || others.length > 0) throw new Error('Want one resource');
  return found;
}

describe('What istiod sends to waypoints', () => {
  let world: MeshWorld;

  beforeEach(() => {
    world = meshWorld();
    world.inputs.gateways.set(
      gatewayRecord('way', {
        addresses: [{ kind: 'hostname', hostname: 'way.shop.svc.cluster.local' }],
      }),
    );
    const labels = { 'istio.io/use-waypoint': 'way' };
    world.inputs.services.set(serviceRecord('shelf', { labels }));
  });

  for (const rule of RULES) {
    it(`is taken: a route with ${JSON.stringify(rule).slice(0, 100)}`, () => {
      world.inputs.httpRoutes.set(routeRecord('split', { parentRefs, rules: [rule] }));
      const { name, bytes } = only(world.mesh.waypointRoutes.values());
      const decoded = decodeRoute(name, bytes);
      expect(decoded.kind === 'route' ? 'taken' : decoded.reason).to.equal('taken');
    });
  }

  for (const method of [
    { service: 'a.B' },
    { method: 'C' },
    { type: 'RegularExpression', service: '[' },
  ]) {
    it(`is taken: a GRPCRoute for ${JSON.stringify(method)}`, () => {
      const rules = [{ matches: [{ method }] }];
      world.inputs.grpcRoutes.set(routeRecord('calls', { kind: 'GRPCRoute', parentRefs, rules }));
      const { name, bytes } = only(world.mesh.waypointRoutes.values());
      const decoded = decodeRoute(name, bytes);
      expect(decoded.kind === 'route' ? 'taken' : decoded.reason).to.equal('taken');
    });
  }

  for (const rule of POLICY_RULES) {
    for (const action of ['ALLOW', 'DENY', 'AUDIT', 'CUSTOM']) {
      it(`is taken: ${action} with ${JSON.stringify(rule)}`, () => {
        const targets = [{ group: '', kind: 'Service', name: 'shelf' }];
        const policy = authorizationRecord('p', { targeted: true, targets, action, rules: [rule] });
        world.inputs.authorizationPolicies.set(policy);
        const { name, bytes } = only(world.mesh.waypointPolicies.values());
        const decoded = decodePolicy(name, bytes);
        expect(decoded.kind === 'policy' ? 'taken' : decoded.reason).to.equal('taken');
      });
    }
  }

  it('is taken: whatever somebody writes into a rule', () => {
    let served = 0;
    assert(
      property(written, (rule) => {
        for (const [kind, routes] of [
          ['HTTPRoute', world.inputs.httpRoutes],
          ['GRPCRoute', world.inputs.grpcRoutes],
        ] as const) {
          routes.set(routeRecord('split', { kind, parentRefs, rules: [rule] }));
          const { name, bytes } = only(
            [...world.mesh.waypointRoutes.values()].filter((one) => one.name.startsWith(kind)),
          );
          const decoded = decodeRoute(name, bytes);
          if (decoded.kind === 'refused') throw new Error(decoded.reason);
          if (decoded.route.rules.some(({ invalid }) => invalid === undefined)) served++;
        }
      }),
      { numRuns: 2_000 },
    );
    expect(served, 'rules that can be served').to.be.greaterThan(300);
  });

  it('is taken: whatever somebody writes into a rule of a policy', () => {
    assert(
      property(writtenPolicy, constantFrom('ALLOW', 'DENY', 'AUDIT', 'CUSTOM'), (rule, action) => {
        const targets = [{ group: '', kind: 'Service', name: 'shelf' }];
        const said = { targeted: true, targets, action, rules: [rule] };
        world.inputs.authorizationPolicies.set(authorizationRecord('p', said));
        const { name, bytes } = only(world.mesh.waypointPolicies.values());
        const decoded = decodePolicy(name, bytes);
        if (decoded.kind === 'refused') throw new Error(decoded.reason);
      }),
      { numRuns: 2_000 },
    );
  });
});
