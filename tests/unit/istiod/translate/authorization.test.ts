import { toJson } from '@bufbuild/protobuf';
import { expect } from 'chai';
import { describe, it } from 'mocha';

import { AuthorizationSchema } from '#api/gen/authorization_pb.ts';
import { translateAuthorization } from '#istiod/translate/authorization.ts';
import { authorizationRecord, MESH } from '#tests/support/control-plane.ts';
import { operation, source, when } from '#tests/support/policy-rules.ts';

type Record = Parameters<typeof authorizationRecord>[1];

function translated(more: Record) {
  return translateAuthorization(authorizationRecord('policy', more), MESH);
}

/** Each rule as the list of its ANDed clauses, each clause as the list of its matches. */
function rulesOf(more: Record): unknown {
  const translation = translated(more);
  if (translation.kind !== 'policy') return translation.kind;
  const json = toJson(AuthorizationSchema, translation.policy) as {
    rules?: { clauses?: { matches?: unknown[] }[] }[];
  };
  return (json.rules ?? []).map(({ clauses = [] }) => clauses.map(({ matches = [] }) => matches));
}

function limitationOf(more: Record): string | undefined {
  const translation = translated(more);
  return translation.kind === 'policy' ? translation.limitation : translation.kind;
}

function b64(...bytes: number[]): string {
  return Buffer.from(bytes).toString('base64');
}

const anyAddress = {
  sourceIps: [{ address: 'AAAAAA==' }, { address: 'AAAAAAAAAAAAAAAAAAAAAA==' }],
};

describe('translateAuthorization() scope and action', () => {
  const scopes: readonly [what: string, more: Record, scope: string][] = [
    ['of its namespace', {}, 'NAMESPACE'],
    ['of the whole mesh in the root namespace', { namespace: 'istio-system' }, 'GLOBAL'],
    ['of the selected workloads', { selector: { app: 'till' } }, 'WORKLOAD_SELECTOR'],
    [
      'of the selected workloads, in the root namespace too',
      { namespace: 'istio-system', selector: { app: 'till' } },
      'WORKLOAD_SELECTOR',
    ],
  ];
  for (const [what, more, scope] of scopes) {
    it(`gives a policy the scope ${what}`, () => {
      const translation = translated(more);
      if (translation.kind !== 'policy') throw new Error(translation.kind);
      const json = toJson(AuthorizationSchema, translation.policy, { alwaysEmitImplicit: true });
      expect(json).to.include({ scope, action: 'ALLOW' });
    });
  }

  it('takes a policy without action as ALLOW, and one without rules as allowing nothing', () => {
    expect(rulesOf({ action: undefined })).to.deep.equal([]);
    expect(limitationOf({ action: undefined })).to.equal(undefined);
  });

  it('leaves policies with targets to waypoints', () => {
    expect(translated({ targeted: true })).to.deep.equal({ kind: 'not-ours' });
  });

  for (const more of [{ action: 'AUDIT' }, { action: 'CUSTOM' }, { action: 7 }, { dryRun: true }]) {
    it(`refuses ${JSON.stringify(more)}`, () => {
      const translation = translated(more);
      expect(translation.kind).to.equal('refused');
      expect(translation).to.have.property('message').that.contains('does not support');
    });
  }
});

describe('translateAuthorization() attributes', () => {
  const table: readonly [what: string, rule: object, clauses: unknown][] = [
    ['an empty rule, which matches everything', {}, []],
    [
      'string forms',
      source({ principals: ['*', '*/sa/a', 'td/ns/*', 'td/ns/a/sa/b'] }),
      [
        [
          {
            principals: [
              { presence: {} },
              { suffix: '/sa/a' },
              { prefix: 'td/ns/' },
              { exact: 'td/ns/a/sa/b' },
            ],
          },
        ],
      ],
    ],
    [
      'attributes of one source in one match',
      source({ namespaces: ['a'], notNamespaces: ['b'], notPrincipals: ['*'] }),
      [
        [
          {
            namespaces: [{ exact: 'a' }],
            notNamespaces: [{ exact: 'b' }],
            notPrincipals: [{ presence: {} }],
          },
        ],
      ],
    ],
    [
      "service accounts, in the policy's namespace unless they say another",
      source({ serviceAccounts: ['till', 'bank/till'], notServiceAccounts: ['x'] }),
      [
        [
          {
            serviceAccounts: [
              { namespace: 'shop', serviceAccount: 'till' },
              { namespace: 'bank', serviceAccount: 'till' },
            ],
            notServiceAccounts: [{ namespace: 'shop', serviceAccount: 'x' }],
          },
        ],
      ],
    ],
    [
      'addresses and blocks',
      source({ ipBlocks: ['1.2.3.4', '10.1.0.0/16'], notIpBlocks: ['10.1.2.0/24'] }),
      [
        [
          {
            sourceIps: [
              { address: b64(1, 2, 3, 4), length: 32 },
              { address: b64(10, 1, 0, 0), length: 16 },
            ],
            notSourceIps: [{ address: b64(10, 1, 2, 0), length: 24 }],
          },
        ],
      ],
    ],
    [
      'ports',
      operation({ ports: ['80', '443'], notPorts: ['8080'] }),
      [[{ destinationPorts: [80, 443], notDestinationPorts: [8080] }]],
    ],
    [
      'several sources as alternatives, operations and sources as conditions',
      {
        from: [{ source: { namespaces: ['a'] } }, { source: { namespaces: ['b'] } }],
        to: [{ operation: { ports: ['80'] } }],
      },
      [
        [{ destinationPorts: [80] }],
        [{ namespaces: [{ exact: 'a' }] }, { namespaces: [{ exact: 'b' }] }],
      ],
    ],
    [
      'each condition on its own',
      {
        when: [
          { key: 'source.ip', values: ['1.1.1.1'] },
          { key: 'source.namespace', values: ['a'], notValues: ['b'] },
          { key: 'source.principal', notValues: ['*'] },
          { key: 'destination.ip', values: ['2.2.2.2'] },
          { key: 'destination.port', values: ['80'] },
        ],
      },
      [
        [{ sourceIps: [{ address: b64(1, 1, 1, 1), length: 32 }] }],
        [{ namespaces: [{ exact: 'a' }], notNamespaces: [{ exact: 'b' }] }],
        [{ notPrincipals: [{ presence: {} }] }],
        [{ destinationIps: [{ address: b64(2, 2, 2, 2), length: 32 }] }],
        [{ destinationPorts: [80] }],
      ],
    ],
  ];
  for (const [what, rule, clauses] of table) {
    it(`translates ${what}`, () => {
      for (const action of ['ALLOW', 'DENY']) {
        expect(rulesOf({ action, rules: [rule] })).to.deep.equal([clauses]);
        expect(limitationOf({ action, rules: [rule] })).to.equal(undefined);
      }
    });
  }
});

describe('translateAuthorization() of what ztunnel cannot decide', () => {
  const http: readonly [name: string, rule: object][] = [
    ...['hosts', 'notHosts', 'methods', 'notMethods', 'paths', 'notPaths'].map(
      (name) => [name, operation({ [name]: ['x'] })] as [string, object],
    ),
    ...[
      'requestPrincipals',
      'notRequestPrincipals',
      'remoteIpBlocks',
      'notRemoteIpBlocks',
      'trustDomains',
      'notTrustDomains',
    ].map((name) => [name, source({ [name]: ['x'] })] as [string, object]),
    ...['request.headers[x]', 'remote.ip', 'connection.sni', 'request.auth.claims[a]'].map(
      (name) => [name, when(name, ['x'])] as [string, object],
    ),
    ['someday', { someday: { new: true } }],
  ];
  for (const [name, rule] of http) {
    it(`omits an ALLOW rule with ${name}, and says so`, () => {
      const rules = [rule, source({ namespaces: ['a'] })];
      expect(rulesOf({ rules })).to.deep.equal([[[{ namespaces: [{ exact: 'a' }] }]]]);
      expect(limitationOf({ rules })).to.contain(`found: ${name}`).and.contain('are omitted');
    });
  }

  it('allows nothing when every ALLOW rule is omitted', () => {
    expect(rulesOf({ rules: [operation({ paths: ['/x'] })] })).to.deep.equal([]);
  });

  it('ignores attributes that are there and empty', () => {
    const rules = [{ from: [], to: [{ operation: { paths: [], ports: ['80'] } }] }];
    expect(rulesOf({ rules })).to.deep.equal([[[{ destinationPorts: [80] }]]]);
    expect(limitationOf({ rules })).to.equal(undefined);
  });

  it('enforces a DENY rule without the HTTP parts of its matches', () => {
    const rules = [
      { ...source({ namespaces: ['a'] }), ...operation({ ports: ['80'], paths: ['/x'] }) },
    ];
    expect(rulesOf({ action: 'DENY', rules })).to.deep.equal([
      [[{ destinationPorts: [80] }], [{ namespaces: [{ exact: 'a' }] }]],
    ]);
    expect(limitationOf({ action: 'DENY', rules })).to.contain('enforced without');
  });

  it('keeps the empty matches of a DENY rule, which never fire, and says that there is no effect', () => {
    const rules = [{ ...when('connection.sni', ['x']), ...source({ namespaces: ['a'] }) }];
    expect(rulesOf({ action: 'DENY', rules })).to.deep.equal([
      [[{ namespaces: [{ exact: 'a' }] }], [{}]],
    ]);
    expect(limitationOf({ action: 'DENY', rules })).to.contain('no effect');
  });

  it('names all attributes in order and once', () => {
    const rules = [operation({ paths: ['/'], hosts: ['h'] }), operation({ paths: ['/a'] })];
    expect(limitationOf({ rules })).to.contain('(found: hosts, paths)');
  });
});

describe('translateAuthorization() of values that are none', () => {
  const unreadable: readonly [rule: object, text: string][] = [
    [operation({ ports: ['80', 'http'] }), 'port "http"'],
    [operation({ notPorts: ['0'] }), 'port "0"'],
    [operation({ ports: ['65536'] }), 'port "65536"'],
    [operation({ ports: [80] }), 'port 80'],
    [operation({ ports: '80' }), 'port "80"'],
    [source({ ipBlocks: ['10.0.0.0/33'] }), 'source address "10.0.0.0/33"'],
    [source({ serviceAccounts: ['a/b/c'] }), 'service account "a/b/c"'],
    [source({ serviceAccounts: ['a b'] }), 'service account "a b"'],
    [source({ serviceAccounts: ['shop/bö'] }), 'service account "shop/bö"'],
    [source({ namespaces: [''] }), 'namespace ""'],
    [when('destination.ip', ['localhost']), 'destination address "localhost"'],
  ];
  for (const [rule, text] of unreadable) {
    it(`omits an ALLOW rule and fires a DENY rule with ${text}`, () => {
      expect(rulesOf({ rules: [rule] })).to.deep.equal([]);
      expect(limitationOf({ rules: [rule] })).to.contain(text);
      expect(rulesOf({ action: 'DENY', rules: [rule] })).to.deep.equal([[[anyAddress]]]);
      expect(limitationOf({ action: 'DENY', rules: [rule] })).to.contain('always hold');
    });
  }

  it('keeps what a DENY match says besides', () => {
    const rules = [operation({ ports: ['80'], notPorts: ['x'] })];
    expect(rulesOf({ action: 'DENY', rules })).to.deep.equal([[[{ destinationPorts: [80] }]]]);
  });
});
