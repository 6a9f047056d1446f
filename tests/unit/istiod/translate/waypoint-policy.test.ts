import { toJson } from '@bufbuild/protobuf';
import { expect } from 'chai';
import { describe, it } from 'mocha';

import { Action, PolicyRuleSchema } from '#api/gen/waypoint_pb.ts';
import { translateWaypointPolicy } from '#istiod/translate/waypoint-policy.ts';
import { authorizationRecord } from '#tests/support/control-plane.ts';
import { operation, source, when } from '#tests/support/policy-rules.ts';

type Said = 'ALLOW' | 'DENY' | 'AUDIT' | 'CUSTOM';

function translated(rule: object, action: Said = 'ALLOW') {
  return translateWaypointPolicy(authorizationRecord('rule', { action, rules: [rule] }));
}
function rules(rule: object, action?: Said): unknown {
  return translated(rule, action).rules.map((one) => toJson(PolicyRuleSchema, one));
}
function exactly(value: string): object[] {
  return [{ exact: value }];
}

describe('translateWaypointPolicy()', () => {
  const taken: readonly [what: string, rule: object, expected: object][] = [
    ['an empty rule, which always matches', {}, {}],
    [
      'texts: all, ends, beginnings, words',
      source({ principals: ['*', '*/sa/a', 'td/*', 'td/ns/b/sa/c'], notNamespaces: ['x'] }),
      {
        from: [
          {
            principals: [
              { presence: {} },
              { suffix: '/sa/a' },
              { prefix: 'td/' },
              { exact: 'td/ns/b/sa/c' },
            ],
            notNamespaces: exactly('x'),
          },
        ],
      },
    ],
    [
      'service accounts in both forms',
      source({ serviceAccounts: ['till', 'store/clerk'] }),
      { from: [{ serviceAccounts: [{ exact: 'shop/till' }, { exact: 'store/clerk' }] }] },
    ],
    [
      'blocks of addresses',
      source({ ipBlocks: ['10.0.0.0/8'], notRemoteIpBlocks: ['::1'] }),
      { from: [{ ipBlocks: ['10.0.0.0/8'], notRemoteIpBlocks: ['::1'] }] },
    ],
    [
      'operations',
      operation({ hosts: ['*.test'], ports: ['80'], notPorts: ['81'], methods: ['GET'] }),
      {
        to: [
          { hosts: [{ suffix: '.test' }], ports: [80], notPorts: [81], methods: exactly('GET') },
        ],
      },
    ],
    [
      'paths with and without templates',
      operation({ paths: ['/a/*', '/b/{*}/c/{**}'], notPaths: ['*/d'] }),
      {
        to: [
          {
            paths: [{ text: { prefix: '/a/' } }, { template: '/b/{*}/c/{**}' }],
            notPaths: [{ text: { suffix: '/d' } }],
          },
        ],
      },
    ],
    [
      'a header',
      when('request.headers[X-User]', ['ann'], ['*']),
      {
        when: [
          { key: 'request.headers[X-User]', values: exactly('ann'), notValues: [{ presence: {} }] },
        ],
      },
    ],
    [
      'an account in a condition',
      when('source.serviceAccount', ['till']),
      { when: [{ key: 'source.serviceAccount', values: exactly('shop/till') }] },
    ],
    [
      'addresses and ports in conditions',
      {
        when: [
          { key: 'source.ip', values: ['10.0.0.0/8'] },
          { key: 'destination.port', notValues: ['80'] },
        ],
      },
      {
        when: [
          { key: 'source.ip', values: exactly('10.0.0.0/8') },
          { key: 'destination.port', notValues: exactly('80') },
        ],
      },
    ],
  ];
  for (const [what, rule, expected] of taken) {
    for (const action of ['ALLOW', 'DENY', 'AUDIT'] as const) {
      it(`takes over ${what} (${action})`, () => {
        expect(rules(rule, action)).to.deep.equal([expected]);
        expect(translated(rule, action).limitation).to.equal(undefined);
      });
    }
  }

  const both = { principals: ['p'], requestPrincipals: ['*'] };
  const stricter: readonly [what: string, rule: object, denied: object][] = [
    ['a token', source(both), { from: [{ principals: exactly('p') }] }],
    ['nothing but a token', source({ requestPrincipals: ['*'] }), { from: [{}] }],
    [
      'a condition on a token',
      { ...operation({ methods: ['GET'] }), ...when('request.auth.claims[iss]', ['x']) },
      { to: [{ methods: exactly('GET') }] },
    ],
    ['a condition without values', when('source.ip'), { when: [{ key: 'source.ip' }] }],
    ['a key nobody knows', when('moon.phase', ['full']), {}],
    ['a bad block', source({ ipBlocks: ['10.0.0.0/8', 'ten'] }), { from: [{}] }],
    ['a bad port', operation({ ports: ['80', 'http'] }), { to: [{}] }],
    ['a bad template', operation({ paths: ['/a/x{*}'] }), { to: [{}] }],
    ['two {**}', operation({ notPaths: ['/{**}/a/{**}'] }), { to: [{}] }],
    ['an account with a star', source({ serviceAccounts: ['shop/*'] }), { from: [{}] }],
    ['an empty source', source({}), { from: [{}] }],
    ['an empty operation', { to: [{}] }, { to: [{}] }],
    [
      'an attribute of an operation nobody knows',
      operation({ methods: ['GET'], weather: ['rain'] }),
      { to: [{ methods: exactly('GET') }] },
    ],
    [
      'a field nobody knows',
      { ...operation({ methods: ['GET'] }), by: ['x'] },
      { to: [{ methods: exactly('GET') }] },
    ],
  ];
  for (const [what, rule, denied] of stricter) {
    it(`becomes stricter by ${what}: ALLOW lets nobody in, DENY goes on without it`, () => {
      expect(rules(rule, 'ALLOW')).to.deep.equal([]);
      expect(rules(rule, 'AUDIT')).to.deep.equal([]);
      expect(rules(rule, 'DENY')).to.deep.equal([denied]);
      expect(translated(rule, 'ALLOW').limitation).to.match(/^Not supported: .*never match$/);
      expect(translated(rule, 'DENY').limitation).to.match(/enforced without it$/);
    });
  }

  it('denies what it is told to ask somebody else about', () => {
    const {
      action,
      rules: kept,
      limitation,
    } = translated(operation({ methods: ['GET'] }), 'CUSTOM');
    expect([action, kept.length]).to.deep.equal([Action.DENY, 1]);
    expect(limitation).to.match(/^Action CUSTOM is not supported/);
  });

  it('lets nobody in by an ALLOW policy without rules', () => {
    const policy = translateWaypointPolicy(authorizationRecord('none', { action: undefined }));
    expect(policy).to.deep.equal({ action: Action.ALLOW, rules: [], limitation: undefined });
  });
});
