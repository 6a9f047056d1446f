import { expect } from 'chai';
import {
  type Arbitrary,
  array,
  assert,
  boolean,
  constantFrom,
  option,
  property,
  record,
  shuffledSubarray,
} from 'fast-check';
import { describe, it } from 'mocha';

import { evaluate } from '#dataplane/authz/evaluate.ts';
import type { ConnectionFacts } from '#dataplane/authz/match.ts';
import {
  EMPTY_MATCH,
  type Match,
  type Policy,
  type StringMatch,
} from '#dataplane/state/authorization.ts';
import { cidr, identity, ip, key } from '#tests/support/mesh.ts';

// Few values in each place, so that conditions and connections meet often.
const texts: readonly StringMatch[] = [
  { kind: 'exact', value: 'a' },
  { kind: 'exact', value: 'td/ns/a/sa/x' },
  { kind: 'prefix', value: 'td/' },
  { kind: 'suffix', value: 'x' },
  { kind: 'presence' },
];
const accounts = [
  { namespace: 'a', serviceAccount: 'x' },
  { namespace: 'b', serviceAccount: 'x' },
];
const blocks = ['10.0.0.0/8', '10.0.0.1', '10.0.0.2', '::/0'].map(cidr);
const ports = [80, 81];

function some<T>(values: readonly T[]): Arbitrary<readonly T[]> {
  return shuffledSubarray([...values], { maxLength: 2 });
}

const anyMatch: Arbitrary<Match> = record(
  {
    namespaces: some(texts),
    notNamespaces: some(texts),
    principals: some(texts),
    notPrincipals: some(texts),
    serviceAccounts: some(accounts),
    notServiceAccounts: some(accounts),
    sourceIps: some(blocks),
    notSourceIps: some(blocks),
    destinationIps: some(blocks),
    notDestinationIps: some(blocks),
    destinationPorts: some(ports),
    notDestinationPorts: some(ports),
  },
  { requiredKeys: [] },
).map((given) => ({ ...EMPTY_MATCH, ...given }));

function anyPolicy(more: Partial<Policy> = {}): Arbitrary<Policy> {
  return record({
    name: constantFrom('p', 'q', 'r'),
    namespace: constantFrom('n'),
    scope: constantFrom('Global' as const),
    action: constantFrom('Allow' as const, 'Deny' as const),
    dryRun: boolean(),
    rules: array(array(array(anyMatch, { maxLength: 2 }), { maxLength: 2 }), { maxLength: 2 }),
  }).map((given) => ({ ...given, ...more }));
}

const identities = ['spiffe://td/ns/a/sa/x', 'spiffe://other/ns/b/sa/x'].map(identity);
const anyConnection: Arbitrary<ConnectionFacts> = record({
  sourceIp: constantFrom(ip('10.0.0.1'), ip('10.0.0.2'), ip('2001:db8::1')),
  destinationIp: constantFrom(ip('10.0.0.1'), ip('10.0.0.2'), ip('2001:db8::1')),
  destinationPort: constantFrom(...ports),
  identity: option(constantFrom(...identities), { nil: undefined }),
});
const policies = array(anyPolicy(), { maxLength: 4 });
const RUNS = { numRuns: 1_000 };

function allows(given: readonly Policy[], connection: ConnectionFacts): boolean {
  return evaluate({ policies: given, missing: [] }, connection).kind === 'allow';
}

describe('evaluate() of any policies', () => {
  it('never allows more because of one more DENY policy', () => {
    assert(
      property(
        policies,
        anyPolicy({ action: 'Deny' }),
        anyConnection,
        (before, deny, connection) => {
          if (!allows(before, connection)) {
            expect(allows([...before, deny], connection)).to.equal(false);
          }
        },
      ),
      RUNS,
    );
  });

  it('never denies more because of one more ALLOW policy where there already is one', () => {
    const allow = anyPolicy({ action: 'Allow', dryRun: false });
    assert(
      property(policies, allow, allow, anyConnection, (others, first, second, connection) => {
        if (allows([...others, first], connection)) {
          expect(allows([...others, first, second], connection)).to.equal(true);
        }
      }),
      RUNS,
    );
  });

  it('gives the same answer with and without the policies that are only tried out', () => {
    assert(
      property(policies, anyConnection, (all, connection) => {
        const enforced = all.filter(({ dryRun }) => !dryRun);
        expect(allows(all, connection)).to.equal(allows(enforced, connection));
      }),
      RUNS,
    );
  });

  it('gives the same answer in any order', () => {
    assert(
      property(policies, anyConnection, (all, connection) => {
        expect(allows(all.toReversed(), connection)).to.equal(allows(all, connection));
      }),
      RUNS,
    );
  });

  it('never allows anything while a policy is missing', () => {
    assert(
      property(policies, anyConnection, (all, connection) => {
        const verdict = evaluate({ policies: all, missing: [key('n/late')] }, connection);
        expect(verdict.kind).to.equal('deny');
      }),
      RUNS,
    );
  });
});
