import { toJson } from '@bufbuild/protobuf';
import { expect } from 'chai';
import { describe, it } from 'mocha';

import { RuleSchema } from '#api/gen/waypoint_pb.ts';
import type { RouteObjectKind } from '#istiod/model/route.ts';
import { type FindBackend, translateRules } from '#istiod/translate/route-rules.ts';
import { routeRecord, serviceRecord } from '#tests/support/control-plane.ts';

const services = new Map([
  ['shop/shelf', serviceRecord('shelf')],
  ['store/rack', serviceRecord('rack', { namespace: 'store' })],
]);

const abroad = serviceRecord('abroad', { kind: 'ServiceEntry', hostname: 'abroad.example' });
const find: FindBackend = {
  service: (namespace, name) => services.get(`${namespace}/${name}`),
  host: (hostname) => (hostname === abroad.hostname ? abroad : undefined),
};
function rules(written: readonly unknown[], kind: RouteObjectKind = 'HTTPRoute'): unknown[] {
  const record = routeRecord('split', { kind, rules: written });
  return translateRules(record, find).map((rule) => toJson(RuleSchema, rule));
}
function match(written: object, kind?: RouteObjectKind): unknown {
  const [rule] = rules([{ matches: [written] }], kind) as { matches?: unknown[] }[];
  return rule === undefined ? 'never' : rule.matches?.[0];
}
function filter(written: object): unknown {
  const [rule] = rules([{ filters: [written] }]) as { filters?: unknown[]; invalid?: string }[];
  return rule?.filters?.[0] ?? rule?.invalid;
}
function backend(written: object): unknown {
  const [rule] = rules([{ backendRefs: [written] }]) as { backends?: unknown[] }[];
  return rule?.backends?.[0];
}

const shelf = { namespace: 'shop', hostname: 'shelf.shop.svc.cluster.local' };
const LONG = 'x'.repeat(1_025);

describe('translateRules() matches', () => {
  const http: readonly [what: string, written: object, expected: unknown][] = [
    ['an exact path', { path: { type: 'Exact', value: '/a' } }, { path: { exact: '/a' } }],
    ['a prefix', { path: { value: '/a' } }, { path: { prefix: '/a' } }],
    [
      'a regular expression',
      { path: { type: 'RegularExpression', value: '/a+' } },
      { path: { regex: '/a+' } },
    ],
    ['a method', { method: 'GET' }, { method: 'GET' }],
    [
      'headers, their names in lower case, of which the first counts',
      {
        headers: [
          { name: 'X-User', value: 'ann' },
          { type: 'RegularExpression', name: 'x-v', value: '[12]' },
          { name: 'x-user', value: 'bob' },
        ],
      },
      {
        headers: [
          { name: 'x-user', exact: 'ann' },
          { name: 'x-v', regex: '[12]' },
        ],
      },
    ],
    [
      'query parameters, as they are written',
      { queryParams: [{ name: 'Q', value: '1' }] },
      { query: [{ name: 'Q', exact: '1' }] },
    ],
    ['a path that no request has', { path: { value: 'a' } }, 'never'],
    ['a path of an unknown type', { path: { type: 'Glob', value: '/a' } }, 'never'],
    [
      'a header of an unknown type',
      { headers: [{ type: 'Glob', name: 'a', value: 'b' }] },
      'never',
    ],
    ['a look-ahead', { path: { type: 'RegularExpression', value: '/(?=a)' } }, 'never'],
    [
      'half an expression',
      { headers: [{ type: 'RegularExpression', name: 'a', value: '(' }] },
      'never',
    ],
    ['an expression too long', { path: { type: 'RegularExpression', value: LONG } }, 'never'],
  ];
  for (const [what, written, expected] of http)
    it(`takes ${what}`, () => expect(match(written)).to.deep.equal(expected));

  const grpc: readonly [what: string, method: object, expected: unknown][] = [
    ['a method', { service: 'a.B', method: 'C' }, { path: { exact: '/a.B/C' } }],
    ['a service', { service: 'a.B' }, { path: { prefix: '/a.B' } }],
    ['a method of any service', { method: 'C.D' }, { path: { regex: String.raw`/[^/]+/C\.D` } }],
    [
      'expressions',
      { type: 'RegularExpression', service: 'a|b', method: 'C' },
      { path: { regex: '/(?:a|b)/(?:C)' } },
    ],
    ['nothing', {}, {}],
    ['an unknown type', { type: 'Glob', service: 'a' }, 'never'],
  ];
  for (const [what, method, expected] of grpc)
    it(`takes ${what} of a GRPCRoute`, () =>
      expect(match({ method }, 'GRPCRoute')).to.deep.equal(expected));

  it('keeps the matches that can be read, and no rule without one', () => {
    const bad = { path: { type: 'Glob', value: '/a' } };
    expect(rules([{ matches: [bad, { method: 'PUT' }] }, { matches: [bad] }])).to.deep.equal([
      { matches: [{ method: 'PUT' }] },
    ]);
    expect(rules([{ name: 'rest' }])).to.deep.equal([{ name: 'rest' }]);
  });

  it('calls rules after one that is left out by the number that they are written with', () => {
    const never = { matches: [{ path: { type: 'Glob', value: '/a' } }] };
    expect(rules([{}, never, { name: 'mine' }, {}])).to.deep.equal([
      {},
      { name: 'mine' },
      { name: '3' },
    ]);
  });
});

describe('translateRules() filters', () => {
  const modifier = {
    set: [{ name: 'X-A', value: '1' }],
    add: [{ name: 'b', value: '' }],
    remove: ['C'],
  };
  const modified = { set: [{ name: 'x-a', value: '1' }], add: [{ name: 'b' }], remove: ['c'] };
  const table: readonly [written: object, expected: unknown][] = [
    [
      { type: 'RequestHeaderModifier', requestHeaderModifier: modifier },
      { requestHeaders: modified },
    ],
    [
      { type: 'ResponseHeaderModifier', responseHeaderModifier: modifier },
      { responseHeaders: modified },
    ],
    [
      {
        type: 'RequestRedirect',
        requestRedirect: {
          scheme: 'https',
          hostname: 'b.test',
          path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/b' },
          port: 8443,
          statusCode: 301,
        },
      },
      {
        redirect: {
          scheme: 'https',
          hostname: 'b.test',
          path: { prefix: '/b' },
          port: 8443,
          status: 301,
        },
      },
    ],
    [{ type: 'RequestRedirect', requestRedirect: {} }, { redirect: { status: 302 } }],
    [
      {
        type: 'URLRewrite',
        urlRewrite: {
          hostname: 'b.test',
          path: { type: 'ReplaceFullPath', replaceFullPath: '/b' },
        },
      },
      { rewrite: { hostname: 'b.test', path: { full: '/b' } } },
    ],
    [
      {
        type: 'CORS',
        cors: { allowOrigins: ['https://*.a.test'], allowMethods: ['GET'], allowCredentials: true },
      },
      {
        cors: {
          allowOrigins: ['https://*.a.test'],
          allowMethods: ['GET'],
          allowCredentials: true,
          maxAgeS: 5,
        },
      },
    ],
    [{ type: 'CORS', cors: { maxAge: 60 } }, { cors: { maxAgeS: 60 } }],
    [{ type: 'CORS', cors: { maxAge: 0 } }, 'cors.maxAge can not be 0'],
    [{ type: 'CORS', cors: { allowOrigins: ['a'] } }, 'cors.allowOrigins can not be "a"'],
    [{ type: 'CORS', cors: { allowHeaders: ['a b'] } }, 'cors.allowHeaders can not be "a b"'],
    [{ type: 'RequestMirror' }, 'filter "RequestMirror" is not supported'],
    [{ type: 'ExtensionRef' }, 'filter "ExtensionRef" is not supported'],
    [
      { type: 'RequestHeaderModifier', requestHeaderModifier: { remove: ['Host'] } },
      'header "host" can not be changed',
    ],
    [
      {
        type: 'RequestHeaderModifier',
        requestHeaderModifier: { set: [{ name: 'a', value: '\n' }] },
      },
      'header a can not have the value that it is to get',
    ],
    [
      { type: 'RequestRedirect', requestRedirect: { statusCode: 200 } },
      'a redirect can not have the status 200',
    ],
    [
      { type: 'RequestRedirect', requestRedirect: { scheme: 'ftp' } },
      'a redirect can not have the scheme "ftp"',
    ],
    [{ type: 'RequestRedirect', requestRedirect: { hostname: 'a b' } }, '"a b" is no host name'],
    [
      { type: 'RequestRedirect', requestRedirect: { port: 65_536 } },
      'a redirect can not have the port 65536',
    ],
    [{ type: 'URLRewrite', urlRewrite: { hostname: 'a:1' } }, '"a:1" is no host name'],
    [
      { type: 'URLRewrite', urlRewrite: { path: { type: 'Other' } } },
      'a path can not be replaced by "Other"',
    ],
  ];
  for (const [written, expected] of table)
    it(`makes ${JSON.stringify(expected)}`, () => expect(filter(written)).to.deep.equal(expected));
});

describe('translateRules() backends', () => {
  const table: readonly [what: string, written: object, expected: unknown][] = [
    [
      'a service of the same namespace',
      { name: 'shelf', port: 80, weight: 9 },
      { service: shelf, port: 80, weight: 9 },
    ],
    [
      'a service of another namespace',
      { name: 'rack', namespace: 'store', port: 80 },
      {
        service: { namespace: 'store', hostname: 'rack.store.svc.cluster.local' },
        port: 80,
        weight: 1,
      },
    ],
    ['no share', { name: 'shelf', port: 80, weight: 0 }, { service: shelf, port: 80 }],
    [
      'filters of its own',
      {
        name: 'shelf',
        port: 80,
        filters: [{ type: 'RequestHeaderModifier', requestHeaderModifier: { remove: ['a'] } }],
      },
      { service: shelf, port: 80, weight: 1, filters: [{ requestHeaders: { remove: ['a'] } }] },
    ],
    [
      'a service that is not there',
      { name: 'gone', port: 80, weight: 3 },
      { port: 80, weight: 3, invalid: 'service shop/gone not found' },
    ],
    [
      'a port that is not there',
      { name: 'shelf', port: 81 },
      { port: 81, weight: 1, invalid: 'service shop/shelf has no port 81' },
    ],
    [
      'no port',
      { name: 'shelf' },
      { weight: 1, invalid: 'service shop/shelf: a port must be named' },
    ],
    [
      'a host',
      { group: 'networking.istio.io', kind: 'Hostname', name: 'abroad.example', port: 80 },
      { service: { namespace: 'shop', hostname: 'abroad.example' }, port: 80, weight: 1 },
    ],
    [
      'a host that is not there',
      { group: 'networking.istio.io', kind: 'Hostname', name: 'gone.example', port: 80 },
      { port: 80, weight: 1, invalid: 'host gone.example not found' },
    ],
    [
      'another kind',
      { group: 'example.com', kind: 'Bucket', name: 'shelf', port: 80 },
      { port: 80, weight: 1, invalid: 'backend of kind "Bucket" is not supported' },
    ],
    [
      'a redirect',
      { name: 'shelf', port: 80, filters: [{ type: 'RequestRedirect', requestRedirect: {} }] },
      { port: 80, weight: 1, invalid: 'filter "RequestRedirect" can not be a backend\'s' },
    ],
    [
      'a filter that is not supported',
      { name: 'shelf', port: 80, filters: [{ type: 'RequestMirror' }] },
      { port: 80, weight: 1, invalid: 'filter "RequestMirror" is not supported' },
    ],
  ];
  for (const [what, written, expected] of table)
    it(`takes ${what}`, () => expect(backend(written)).to.deep.equal(expected));
});

describe('translateRules() timeouts and retries', () => {
  const table: readonly [written: object, expected: object][] = [
    [
      { timeouts: { request: '1h2m3s4ms', backendRequest: '500ms' } },
      { timeouts: { requestMs: '3723004', backendRequestMs: '500' } },
    ],
    [{ timeouts: { request: '0s' } }, { timeouts: { requestMs: '0' } }],
    [{ timeouts: { request: '1.5s' } }, { invalid: 'timeout "1.5s" is no duration' }],
    [{ timeouts: { backendRequest: 5 } }, { invalid: 'timeout 5 is no duration' }],
    [{ retry: {} }, { retry: { attempts: 2 } }],
    [
      { retry: { attempts: 5, codes: [503], backoff: '100ms' } },
      { retry: { attempts: 5, codes: [503], backoffMs: '100' } },
    ],
    [{ retry: { codes: [200] } }, { invalid: '200 is no status to try again' }],
  ];
  for (const [written, expected] of table)
    it(`makes ${JSON.stringify(expected)}`, () =>
      expect(rules([written])).to.deep.equal([expected]));
});
