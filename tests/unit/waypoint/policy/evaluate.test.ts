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
