import { expect } from 'chai';
import { describe, it } from 'mocha';

import { evaluate, type Verdict } from '#dataplane/authz/evaluate.ts';
import type { ConnectionFacts } from '#dataplane/authz/match.ts';
import type { Policy } from '#dataplane/state/authorization.ts';
import { identity, ip, key, policy } from '#tests/support/mesh.ts';

const connection: ConnectionFacts = {
  sourceIp: ip('10.0.0.1'),
  destinationIp: ip('10.0.0.2'),
  destinationPort: 8080,
  identity: identity('spiffe://td/ns/shop/sa/till'),
};
const hits = { destinationPorts: [8080] };
const misses = { destinationPorts: [1] };

function judge(...policies: readonly Policy[]): Verdict {
  return evaluate({ policies, missing: [] }, connection);
}

describe('evaluate()', () => {
  it('allows when there is no policy', () => {
    expect(judge()).to.deep.equal({ kind: 'allow', by: undefined, dryRun: [] });
  });

  it('denies by a DENY policy that matches, and names it', () => {
    expect(judge(policy('other', misses), policy('no', hits))).to.deep.equal({
      kind: 'deny',
      reason: 'explicitly denied by: default/no',
      policy: key('default/no'),
      dryRun: [],
    });
  });

  it('allows when only DENY policies exist and none matches', () => {
    expect(judge(policy('no', misses)).kind).to.equal('allow');
  });

  it('denies by a DENY policy even when an ALLOW policy matches, in either order', () => {
    const yes = policy('yes', hits, { action: 'Allow' });
    const no = policy('no', hits);
    expect(judge(yes, no).kind).to.equal('deny');
    expect(judge(no, yes).kind).to.equal('deny');
  });

  it('allows by the ALLOW policy that matches, and names it', () => {
    const verdict = judge(
      policy('other', misses, { action: 'Allow' }),
      policy('yes', hits, { action: 'Allow' }),
    );
    expect(verdict).to.deep.equal({ kind: 'allow', by: key('default/yes'), dryRun: [] });
  });

  it('denies when ALLOW policies exist and none matches', () => {
    expect(judge(policy('yes', misses, { action: 'Allow' }))).to.deep.equal({
      kind: 'deny',
      reason: 'allow policies exist, but none allowed',
      policy: undefined,
      dryRun: [],
    });
  });

  it('denies everything by an ALLOW policy without rules', () => {
    expect(judge(policy('nothing', {}, { action: 'Allow', rules: [] })).kind).to.equal('deny');
  });

  it('denies nothing by a DENY policy without rules', () => {
    expect(judge(policy('nothing', {}, { rules: [] })).kind).to.equal('allow');
  });

  it('denies when a policy that the workload names is not known, and names it', () => {
    const verdict = evaluate({ policies: [], missing: [key('shop/late')] }, connection);
    expect(verdict).to.deep.equal({
      kind: 'deny',
      reason: 'policy has not been received yet: shop/late',
      policy: key('shop/late'),
      dryRun: [],
    });
  });

  it('denies for a missing policy even when an ALLOW policy matches', () => {
    const yes = policy('yes', hits, { action: 'Allow' });
    const verdict = evaluate({ policies: [yes], missing: [key('shop/late')] }, connection);
    expect(verdict).to.include({ kind: 'deny', policy: 'shop/late' });
  });

  it('gives the DENY policy that matches, not the missing one, as the reason', () => {
    const no = policy('no', hits);
    const verdict = evaluate({ policies: [no], missing: [key('shop/late')] }, connection);
    expect(verdict).to.include({ kind: 'deny', policy: 'default/no' });
  });

  describe('with dry-run policies', () => {
    const tried = { dryRun: true } as const;

    it('only notes a DENY that matches', () => {
      expect(judge(policy('no', hits, tried), policy('far', misses, tried))).to.deep.equal({
        kind: 'allow',
        by: undefined,
        dryRun: [{ policy: key('default/no'), effect: 'would-deny' }],
      });
    });

    it('only notes an ALLOW that matches: it does not satisfy an enforced one', () => {
      const verdict = judge(
        policy('tried', hits, { action: 'Allow', ...tried }),
        policy('enforced', misses, { action: 'Allow' }),
      );
      expect(verdict.kind).to.equal('deny');
      expect(verdict.dryRun).to.deep.equal([{ policy: 'default/tried', effect: 'would-allow' }]);
    });

    it('says that none matches when only dry-run ALLOW policies exist, and allows', () => {
      expect(judge(policy('tried', misses, { action: 'Allow', ...tried }))).to.deep.equal({
        kind: 'allow',
        by: undefined,
        dryRun: [{ policy: undefined, effect: 'no-allow-matches' }],
      });
    });

    it('says so beside enforced DENY policies as well', () => {
      const tryAllow = policy('tried', misses, { action: 'Allow', ...tried });
      expect(judge(policy('no', misses), tryAllow).dryRun).to.deep.equal([
        { policy: undefined, effect: 'no-allow-matches' },
      ]);
    });

    it('does not say that none matches when one does', () => {
      const verdict = judge(policy('tried', hits, { action: 'Allow', ...tried }));
      expect(verdict.dryRun).to.deep.equal([{ policy: 'default/tried', effect: 'would-allow' }]);
    });

    it('keeps what a dry-run DENY would have done when an enforced DENY denies', () => {
      const verdict = judge(policy('tried', hits, tried), policy('no', hits));
      expect(verdict).to.include({ kind: 'deny', policy: 'default/no' });
      expect(verdict.dryRun).to.deep.equal([{ policy: 'default/tried', effect: 'would-deny' }]);
    });
  });
});
