import { toJson } from '@bufbuild/protobuf';
import { expect } from 'chai';
import { describe, it } from 'mocha';

import { AuthorizationSchema } from '#api/gen/authorization_pb.ts';
import type { MtlsMode, PeerAuthenticationRecord } from '#istiod/model/policy.ts';
import {
  mtlsPolicies,
  portPolicy,
  staticStrictPolicy,
} from '#istiod/translate/peer-authentication.ts';
import { MESH, mtlsRecord } from '#tests/support/control-plane.ts';

const STRICT = 'istio-system/istio_converted_static_strict';
const CONVERTED = 'shop/converted_peer_authentication_own';
const till = { namespace: 'shop', labels: { app: 'till' } };

function mesh(mode: MtlsMode): PeerAuthenticationRecord {
  return mtlsRecord('mesh', mode, { namespace: 'istio-system' });
}
function namespace(mode: MtlsMode): PeerAuthenticationRecord {
  return mtlsRecord('namespace', mode);
}
function own(mode: MtlsMode, ports: readonly (readonly [number, MtlsMode])[] = []) {
  return mtlsRecord('own', mode, { selector: { app: 'till' }, ports: new Map(ports) });
}

/** Each rule of the policy as the list of its ANDed matches. */
function converted(records: readonly PeerAuthenticationRecord[]): unknown {
  const record = records.find(({ name }) => name === 'own');
  const policy = record && portPolicy(record, records, MESH);
  if (policy === undefined) return undefined;
  const json = toJson(AuthorizationSchema, policy) as {
    rules: { clauses: { matches: unknown[] }[] }[];
  };
  expect(json).to.include({ action: 'DENY', scope: 'WORKLOAD_SELECTOR', namespace: 'shop' });
  return json.rules.map(({ clauses }) => clauses.flatMap(({ matches }) => matches));
}

const plaintext = { notPrincipals: [{ presence: {} }] };

describe('mtlsPolicies() and portPolicy()', () => {
  const table: readonly [
    what: string,
    records: readonly PeerAuthenticationRecord[],
    names: readonly string[],
    policy?: unknown,
  ][] = [
    ['nothing is said', [], []],
    ['the mesh is strict', [mesh('STRICT')], [STRICT]],
    ['the namespace is strict', [namespace('STRICT')], [STRICT]],
    ['the namespace is more lenient than the mesh', [mesh('STRICT'), namespace('PERMISSIVE')], []],
    ['the namespace disables what the mesh wants', [mesh('STRICT'), namespace('DISABLE')], []],
    ['the namespace inherits', [mesh('STRICT'), namespace('UNSET')], [STRICT]],
    ['the workload is strict', [own('STRICT')], [STRICT]],
    ['the workload is more lenient', [namespace('STRICT'), own('PERMISSIVE')], []],
    ['the workload inherits', [namespace('STRICT'), own('UNSET')], [STRICT]],
    [
      'a strict workload has an open port',
      [own('STRICT', [[8080, 'PERMISSIVE']])],
      [CONVERTED],
      [[plaintext, { notDestinationPorts: [8080] }]],
    ],
    [
      'a strict workload has ports of every kind, in any order',
      [
        own('STRICT', [
          [9090, 'DISABLE'],
          [8080, 'PERMISSIVE'],
          [7070, 'STRICT'],
          [6060, 'UNSET'],
        ]),
      ],
      [CONVERTED],
      [[plaintext, { notDestinationPorts: [8080] }, { notDestinationPorts: [9090] }]],
    ],
    ['a strict workload has strict ports only', [own('STRICT', [[8080, 'STRICT']])], [STRICT]],
    [
      'an open workload has strict ports',
      [
        own('PERMISSIVE', [
          [9090, 'STRICT'],
          [8080, 'STRICT'],
        ]),
      ],
      [CONVERTED],
      [[{ ...plaintext, destinationPorts: [8080] }], [{ ...plaintext, destinationPorts: [9090] }]],
    ],
    ['an open workload has open ports only', [own('DISABLE', [[8080, 'PERMISSIVE']])], []],
    [
      'a workload that inherits STRICT has an open port',
      [mesh('STRICT'), own('UNSET', [[8080, 'DISABLE']])],
      [CONVERTED],
      [[plaintext, { notDestinationPorts: [8080] }]],
    ],
    [
      'a workload that inherits STRICT has a strict port',
      [mesh('STRICT'), own('UNSET', [[8080, 'STRICT']])],
      [STRICT],
    ],
    [
      'a workload that inherits nothing has a strict port',
      [own('UNSET', [[8080, 'STRICT']])],
      [CONVERTED],
      [[{ ...plaintext, destinationPorts: [8080] }]],
    ],
    [
      'a policy of the root namespace selects it',
      [mtlsRecord('own', 'STRICT', { namespace: 'istio-system', selector: { app: 'till' } })],
      [],
    ],
    [
      'a policy selects others',
      [mtlsRecord('others', 'STRICT', { selector: { app: 'bank' } })],
      [],
    ],
  ];
  for (const [what, records, names, policy] of table) {
    it(`answer ${names.length === 0 ? 'nothing' : names.join()} when ${what}`, () => {
      expect(mtlsPolicies(till, records, MESH)).to.deep.equal(names);
      expect(converted(records)).to.deep.equal(policy);
    });
  }

  it('follow the oldest of several on one level, whatever their order', () => {
    const old = mtlsRecord('z', 'STRICT', { createdAt: '2020-01-01T00:00:00Z' });
    const young = mtlsRecord('a', 'PERMISSIVE', { createdAt: '2021-01-01T00:00:00Z' });
    expect(mtlsPolicies(till, [old, young], MESH)).to.deep.equal([STRICT]);
    expect(mtlsPolicies(till, [young, old], MESH)).to.deep.equal([STRICT]);
  });

  it('treat the root namespace as a namespace whose own word is that of the mesh', () => {
    const workload = { namespace: 'istio-system', labels: {} };
    expect(mtlsPolicies(workload, [mesh('STRICT')], MESH)).to.deep.equal([STRICT]);
  });
});

describe('staticStrictPolicy()', () => {
  it('denies every peer without an identity', () => {
    expect(toJson(AuthorizationSchema, staticStrictPolicy(MESH))).to.deep.equal({
      name: 'istio_converted_static_strict',
      namespace: 'istio-system',
      scope: 'WORKLOAD_SELECTOR',
      action: 'DENY',
      rules: [{ clauses: [{ matches: [plaintext] }] }],
    });
  });
});
