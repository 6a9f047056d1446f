import { expect } from 'chai';
import { describe, it } from 'mocha';

import { Action } from '#api/gen/waypoint_pb.ts';
import { identity, ip } from '#tests/support/mesh.ts';
import { requestHead } from '#tests/support/request-head.ts';
import { exact, policy, prefix } from '#tests/support/waypoint-resources.ts';
import { evaluate, type RequestFacts } from '#waypoint/policy/evaluate.ts';
import type { Policy } from '#waypoint/policy/model.ts';

const ANN: RequestFacts = {
  identity: identity('spiffe://cluster.local/ns/default/sa/ann'),
  sourceIp: ip('10.0.0.7'),
  destinationIp: ip('10.96.0.10'),
  destinationPort: 80,
  head: requestHead({ method: 'GET', path: '/items/1?x', authority: 'Shop:80' }),
};

/** "allow", or why not. */
function verdict(policies: readonly Policy[], facts: Partial<RequestFacts> = {}): string {
  const given = evaluate(policies, { ...ANN, ...facts });
  return given.kind === 'allow' ? `allow ${given.policy ?? '-'}` : given.reason;
}

const allow = (name: string, ...rules: object[]): Policy => policy(name, { rules });
const deny = (name: string, ...rules: object[]): Policy =>
  policy(name, { action: Action.DENY, rules });
const header = (name: string, value: object): object => ({
  when: [{ key: `request.headers[${name}]`, values: [value] }],
});
const host = (value: object): object => ({ to: [{ hosts: [value] }] });
const NONE = 'allow policies exist, but none allowed';

describe('evaluate() of the waypoint', () => {
  it('lets in without policies, and without ALLOW policies', () => {
    expect(verdict([])).to.equal('allow -');
    expect(verdict([deny('d', { to: [{ methods: [exact('DELETE')] }] })])).to.equal('allow -');
  });

  it('denies first, whatever is allowed, and names the rule', () => {
    const both = [allow('a', {}), deny('d', { from: [{ namespaces: [exact('far')] }] }, {})];
    expect(verdict(both)).to.equal('explicitly denied by: default/d, rule 1');
  });

  it('wants an ALLOW to match when there is one', () => {
    expect(verdict([allow('a')])).to.equal(NONE);
    expect(verdict([allow('a', {})])).to.equal('allow default/a');
  });

  const holding = {
    'a principal': { from: [{ principals: [exact('cluster.local/ns/default/sa/ann')] }] },
    'a namespace': { from: [{ namespaces: [prefix('def')] }] },
    'a service account': { from: [{ serviceAccounts: [exact('default/ann')] }] },
    'a block of addresses': { from: [{ ipBlocks: ['10.0.0.0/24'] }] },
    'a host in any case, without its port': { to: [{ hosts: [exact('SHOP')] }] },
    'a port': { to: [{ ports: [80] }] },
    'a method': { to: [{ methods: [exact('GET')] }] },
    'a path without its query': {
      to: [{ paths: [{ kind: { case: 'text', value: exact('/items/1') } }] }],
    },
    'a path template': { to: [{ paths: [{ kind: { case: 'template', value: '/items/{*}' } }] }] },
    'what it does not name': { from: [{ notNamespaces: [exact('far')] }] },
  };
  for (const [what, rule] of Object.entries(holding)) {
    it(`meets ${what}`, () => {
      expect(verdict([allow('a', rule)])).to.equal('allow default/a');
    });
  }

  const failing = {
    'another principal': { from: [{ principals: [exact('cluster.local/ns/default/sa/bob')] }] },
    'what it must not be': { from: [{ notNamespaces: [exact('default')] }] },
    'another method': { to: [{ methods: [exact('get')] }] },
    'a template with more segments': {
      to: [{ paths: [{ kind: { case: 'template', value: '/items/{*}/x' } }] }],
    },
    'one of two that both must hold': { from: [{}], to: [{ ports: [81] }] },
  };
  for (const [what, rule] of Object.entries(failing)) {
    it(`does not meet ${what}`, () => {
      expect(verdict([allow('a', rule)])).to.equal(NONE);
    });
  }

  it('sees each line of a header, and all of them together', () => {
    const admin = { when: [{ key: 'request.headers[X-Role]', values: [exact('admin')] }] };
    const head = requestHead({
      headers: [
        ['x-role', 'guest'],
        ['x-role', 'admin'],
      ],
    });
    expect(verdict([deny('d', admin)], { head })).to.equal(
      'explicitly denied by: default/d, rule 0',
    );
    expect(verdict([deny('d', admin)])).to.equal('allow -');
  });

  const presence = { kind: { case: 'presence', value: {} } } as const;
  const evasions: Record<string, readonly [object, Parameters<typeof requestHead>[0]]> = {
    'a host by its port': [host(exact('shop:8080')), { authority: 'Shop:8080' }],
    'a host with any port': [host(prefix('shop:')), { authority: 'shop:8080' }],
    'a host with a dot behind it': [host(exact('shop')), { authority: 'shop.:80' }],
    'a header without a value': [header('x', presence), { headers: [['x', '']] }],
    'a header in two lines': [
      header('x', exact('a, b')),
      {
        headers: [
          ['x', 'a'],
          ['x', 'b'],
        ],
      },
    ],
    'cookies one by one': [
      header('cookie', exact('a=1; b=2')),
      {
        headers: [
          ['cookie', 'a=1'],
          ['cookie', 'b=2'],
        ],
      },
    ],
    'a path as the policy spells it': [
      { to: [{ paths: [{ kind: { case: 'text', value: exact('/caf%c3%a9') } }] }] },
      { path: '/caf%C3%A9' },
    ],
    'a path that the policy does not escape': [
      { to: [{ paths: [{ kind: { case: 'template', value: '/{*}/\u65e5' } }] }] },
      { path: '/a/%E6%97%A5' },
    ],
    'Host as HTTP/2 says it': [header('host', exact('admin')), { authority: 'admin' }],
    'a method in small letters': [{ to: [{ methods: [exact('DELETE')] }] }, { method: 'delete' }],
  };
  for (const [what, [rule, head]] of Object.entries(evasions)) {
    it(`denies ${what}`, () => {
      expect(verdict([deny('d', rule)], { head: requestHead(head) })).to.match(/^explicitly/);
    });
  }

  it('lets nobody in for one line of a header among others', () => {
    const head = requestHead({
      headers: [
        ['x-role', 'admin'],
        ['x-role', 'guest'],
      ],
    });
    expect(verdict([allow('a', header('x-role', exact('admin')))], { head })).to.equal(NONE);
    expect(verdict([allow('a', header('x-role', exact('admin,guest')))], { head })).to.equal(
      'allow default/a',
    );
    const but = { when: [{ key: 'request.headers[x-role]', notValues: [exact('guest')] }] };
    expect(verdict([allow('a', but)], { head })).to.equal(NONE);
    expect(verdict([deny('d', but)], { head })).to.match(/^explicitly denied/);
  });

  it('lets nobody in for what a client says of its own certificate', () => {
    const name = 'x-forwarded-client-cert';
    const head = requestHead({ headers: [[name, 'URI=spiffe://x']] });
    const rule = header(name, prefix('URI=spiffe://x'));
    expect(verdict([allow('a', rule)], { head })).to.equal(NONE);
  });

  it('lets in by methods as they are written', () => {
    const get = allow('a', { to: [{ methods: [exact('GET')] }] });
    expect(verdict([get], { head: requestHead({ method: 'get' }) })).to.equal(NONE);
  });

  it('can not look into bytes: an ALLOW lets nothing in, a DENY denies', () => {
    const reads = { to: [{ methods: [exact('GET')] }] };
    expect(verdict([allow('a', reads)], { head: undefined })).to.equal(NONE);
    expect(verdict([deny('d', reads)], { head: undefined })).to.match(/^explicitly denied/);
    const port = { to: [{ ports: [80] }] };
    expect(verdict([allow('a', port)], { head: undefined })).to.equal('allow default/a');
  });

  it('tells what is only tried out, or audited, and goes on', () => {
    const tried = policy('t', { action: Action.DENY, dryRun: true, rules: [{}] });
    const audited = policy('u', { action: Action.AUDIT, rules: [{}] });
    const given = evaluate([tried, audited], ANN);
    expect(given.kind).to.equal('allow');
    expect(given.notices).to.deep.equal([
      { policy: 'default/t', effect: 'would-deny' },
      { policy: 'default/u', effect: 'audit' },
    ]);
  });
});
