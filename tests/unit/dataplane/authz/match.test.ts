import { expect } from 'chai';
import { describe, it } from 'mocha';

import {
  type ConnectionFacts,
  matchHolds,
  policyMatches,
  Subject,
  textMatches,
} from '#dataplane/authz/match.ts';
import type { Match, Rule, StringMatch } from '#dataplane/state/authorization.ts';
import { cidr, identity, ip, match, policy } from '#tests/support/mesh.ts';

const plaintext: ConnectionFacts = {
  sourceIp: ip('10.0.1.7'),
  destinationIp: ip('10.0.2.9'),
  destinationPort: 8080,
  identity: undefined,
};
const till = { ...plaintext, identity: identity('spiffe://td/ns/shop/sa/till') };
const thief: ConnectionFacts = {
  sourceIp: ip('2001:db8::7'),
  destinationIp: ip('2001:db8:1::9'),
  destinationPort: 8081,
  identity: identity('spiffe://evil/ns/den/sa/thief'),
};

function exact(value: string): StringMatch {
  return { kind: 'exact', value };
}
const presence: StringMatch = { kind: 'presence' };
const tillAccount = { namespace: 'shop', serviceAccount: 'till' };

describe('matchHolds()', () => {
  type Row = readonly [
    name: string,
    conditions: Partial<Match>,
    holds: { readonly plaintext: boolean; readonly till: boolean; readonly thief: boolean },
  ];
  const table: readonly Row[] = [
    ['no condition at all', {}, { plaintext: false, till: false, thief: false }],
    [
      'a namespace',
      { namespaces: [exact('shop')] },
      { plaintext: false, till: true, thief: false },
    ],
    [
      'not a namespace',
      { notNamespaces: [exact('shop')] },
      { plaintext: true, till: false, thief: true },
    ],
    ['any namespace', { namespaces: [presence] }, { plaintext: false, till: true, thief: true }],
    [
      'a principal',
      { principals: [exact('td/ns/shop/sa/till')] },
      { plaintext: false, till: true, thief: false },
    ],
    [
      'a principal with the scheme',
      { principals: [exact('spiffe://td/ns/shop/sa/till')] },
      { plaintext: false, till: false, thief: false },
    ],
    [
      'not a principal',
      { notPrincipals: [exact('td/ns/shop/sa/till')] },
      { plaintext: true, till: false, thief: true },
    ],
    ['any principal', { principals: [presence] }, { plaintext: false, till: true, thief: true }],
    ['no principal', { notPrincipals: [presence] }, { plaintext: true, till: false, thief: false }],
    [
      'a trust domain by prefix',
      { principals: [{ kind: 'prefix', value: 'td/' }] },
      { plaintext: false, till: true, thief: false },
    ],
    [
      'an account by suffix',
      { principals: [{ kind: 'suffix', value: '/sa/thief' }] },
      { plaintext: false, till: false, thief: true },
    ],
    [
      'a service account',
      { serviceAccounts: [tillAccount] },
      { plaintext: false, till: true, thief: false },
    ],
    [
      'not a service account',
      { notServiceAccounts: [tillAccount] },
      { plaintext: true, till: false, thief: true },
    ],
    [
      'that account in another namespace',
      { serviceAccounts: [{ namespace: 'den', serviceAccount: 'till' }] },
      { plaintext: false, till: false, thief: false },
    ],
    [
      'a source address',
      { sourceIps: [cidr('10.0.1.7')] },
      { plaintext: true, till: true, thief: false },
    ],
    [
      'a source block',
      { sourceIps: [cidr('10.0.1.0/24')] },
      { plaintext: true, till: true, thief: false },
    ],
    [
      'a source block of the destination',
      { sourceIps: [cidr('10.0.2.0/24')] },
      { plaintext: false, till: false, thief: false },
    ],
    [
      'not a source block',
      { notSourceIps: [cidr('10.0.1.0/24')] },
      { plaintext: false, till: false, thief: true },
    ],
    [
      'an IPv6 source block',
      { sourceIps: [cidr('2001:db8::/48')] },
      { plaintext: false, till: false, thief: true },
    ],
    [
      'every IPv4 source',
      { sourceIps: [cidr('0.0.0.0/0')] },
      { plaintext: true, till: true, thief: false },
    ],
    [
      'every IPv6 source',
      { sourceIps: [cidr('::/0')] },
      { plaintext: false, till: false, thief: true },
    ],
    [
      'a destination block',
      { destinationIps: [cidr('10.0.2.0/24')] },
      { plaintext: true, till: true, thief: false },
    ],
    [
      'not a destination block',
      { notDestinationIps: [cidr('10.0.2.0/24')] },
      { plaintext: false, till: false, thief: true },
    ],
    ['a port', { destinationPorts: [8080] }, { plaintext: true, till: true, thief: false }],
    ['not a port', { notDestinationPorts: [8080] }, { plaintext: false, till: false, thief: true }],
    [
      'one of two ports',
      { destinationPorts: [8081, 8080] },
      { plaintext: true, till: true, thief: true },
    ],
    [
      'none of two ports',
      { notDestinationPorts: [1, 8080] },
      { plaintext: false, till: false, thief: true },
    ],
    [
      'all of two attributes',
      { destinationPorts: [8080], namespaces: [presence] },
      { plaintext: false, till: true, thief: false },
    ],
    [
      'a port, but not that principal',
      { destinationPorts: [8080], notPrincipals: [exact('td/ns/shop/sa/till')] },
      { plaintext: true, till: false, thief: false },
    ],
    [
      'the same value wanted and refused',
      { namespaces: [presence], notNamespaces: [exact('den')] },
      { plaintext: false, till: true, thief: false },
    ],
  ];
  for (const [name, conditions, holds] of table) {
    it(`judges ${name}`, () => {
      const given = match(conditions);
      expect({
        plaintext: matchHolds(given, new Subject(plaintext)),
        till: matchHolds(given, new Subject(till)),
        thief: matchHolds(given, new Subject(thief)),
      }).to.deep.equal(holds);
    });
  }
});

describe('policyMatches()', () => {
  const yes = match({ destinationPorts: [8080] });
  const no = match({ destinationPorts: [1] });
  const empty = match({});
  const table: readonly (readonly [name: string, rules: readonly Rule[], want: boolean])[] = [
    ['no rule', [], false],
    ['a rule without clauses', [[]], true],
    ['a clause without matches', [[[]]], true],
    ['a match without conditions', [[[empty]]], false],
    ['one rule of two', [[[no]], [[yes]]], true],
    ['no rule of two', [[[no]], [[no]]], false],
    ['every clause', [[[yes], [yes]]], true],
    ['not every clause', [[[yes], [no]]], false],
    ['one match of a clause', [[[no, yes]]], true],
    ['no match of a clause', [[[no, no]]], false],
    ['an empty match beside one that holds', [[[empty, yes]]], true],
    ['an empty match beside one that does not', [[[empty, no]]], false],
    ['a clause with only an empty match beside one that holds', [[[yes], [empty]]], false],
    ['an empty clause beside one that does not hold', [[[], [no]]], false],
  ];
  for (const [name, rules, want] of table) {
    it(`${want ? 'matches' : 'does not match'} with ${name}`, () => {
      expect(policyMatches(policy('p', {}, { rules }), new Subject(plaintext))).to.equal(want);
    });
  }
});

describe('textMatches()', () => {
  const table: readonly (readonly [StringMatch, string, boolean])[] = [
    [exact('abc'), 'abc', true],
    [exact('abc'), 'abcd', false],
    [exact('abc'), 'ABC', false],
    [exact('a.c'), 'abc', false],
    [{ kind: 'prefix', value: 'ab' }, 'abc', true],
    [{ kind: 'prefix', value: 'bc' }, 'abc', false],
    [{ kind: 'prefix', value: 'abc' }, 'abc', true],
    [{ kind: 'prefix', value: 'abcd' }, 'abc', false],
    [{ kind: 'suffix', value: 'bc' }, 'abc', true],
    [{ kind: 'suffix', value: 'ab' }, 'abc', false],
    [{ kind: 'suffix', value: '*' }, 'abc', false],
    [presence, 'a', true],
    [presence, '', false],
    [exact('abc'), '', false],
  ];
  for (const [condition, text, want] of table) {
    it(`${want ? 'accepts' : 'rejects'} "${text}" for ${JSON.stringify(condition)}`, () => {
      expect(textMatches(condition, text)).to.equal(want);
    });
  }
});
