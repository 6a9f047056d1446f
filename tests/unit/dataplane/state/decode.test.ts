import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { expect } from 'chai';
import { describe, it } from 'mocha';

import { AuthorizationSchema, type Match as WireMatch } from '#api/gen/authorization_pb.ts';
import { AddressSchema, type ServiceSchema, type WorkloadSchema } from '#api/gen/workload_pb.ts';
import { parseCidr } from '#common/net/cidr.ts';
import { EMPTY_MATCH, type Policy } from '#dataplane/state/authorization.ts';
import { decodeAddress, decodePolicy } from '#dataplane/state/decode.ts';
import type { Service } from '#dataplane/state/service.ts';
import type { Workload } from '#dataplane/state/workload.ts';

const UID = 'Kubernetes//Pod/shop/till';
const SHELF = 'shop/shelf.shop.svc.cluster.local';

type WorkloadFields = MessageInitShape<typeof WorkloadSchema>;
type ServiceFields = MessageInitShape<typeof ServiceSchema>;
type PolicyFields = MessageInitShape<typeof AuthorizationSchema>;

function bytesOf(type: MessageInitShape<typeof AddressSchema>['type']): Uint8Array {
  return toBinary(AddressSchema, create(AddressSchema, { type: type! }));
}
function decodedWorkload(fields: WorkloadFields, name: string = UID) {
  const value = { uid: UID, name: 'till', namespace: 'shop', ...fields };
  return decodeAddress(name, bytesOf({ case: 'workload', value }));
}
function decodedService(fields: ServiceFields, name: string = SHELF) {
  const base = { name: 'shelf', namespace: 'shop', hostname: 'shelf.shop.svc.cluster.local' };
  return decodeAddress(name, bytesOf({ case: 'service', value: { ...base, ...fields } }));
}
function decodedPolicy(fields: PolicyFields, name = 'shop/rule') {
  const message = create(AuthorizationSchema, { name: 'rule', namespace: 'shop', ...fields });
  return decodePolicy(name, toBinary(AuthorizationSchema, message));
}
function workload(fields: WorkloadFields): Workload {
  const read = decodedWorkload(fields);
  if (read.kind !== 'workload') throw new Error(JSON.stringify(read));
  return read.workload;
}
function service(fields: ServiceFields): Service {
  const read = decodedService(fields);
  if (read.kind !== 'service') throw new Error(JSON.stringify(read));
  return read.service;
}
function policy(fields: PolicyFields): Policy {
  const read = decodedPolicy(fields);
  if (read.kind !== 'policy') throw new Error(JSON.stringify(read));
  return read.policy;
}
function reasonOf(read: { readonly kind: string; readonly reason?: string }): string {
  return read.kind === 'refused' ? (read.reason ?? '') : 'accepted';
}
/** A word of the future. */
const UNKNOWN = 9 as never;
const v4 = (...bytes: readonly number[]) => Uint8Array.from(bytes);

const gateway = (hostname: string) => ({
  destination: { case: 'hostname' as const, value: { namespace: 'infra', hostname } },
  hboneMtlsPort: 15_008,
});

describe('decodeAddress() of workloads', () => {
  it('reads everything that is said', () => {
    const read = workload({
      addresses: [v4(10, 0, 0, 7), new Uint8Array(16).fill(1)],
      network: 'one',
      tunnelProtocol: 1,
      trustDomain: 'td',
      serviceAccount: 'cashier',
      node: 'node-a',
      clusterId: 'c2',
      canonicalName: 'till',
      canonicalRevision: 'v1',
      workloadName: 'tills',
      workloadType: 2,
      nativeTunnel: true,
      applicationTunnel: { protocol: 1, port: 15_088 },
      authorizationPolicies: ['shop/rule'],
      status: 1,
      locality: { region: 'r', zone: 'z', subzone: 's' },
      networkMode: 1,
      capacity: 3,
      services: { [SHELF]: { ports: [{ servicePort: 80, targetPort: 8080 }] } },
      waypoint: gateway('Way.point'),
    });
    expect(read).to.deep.equal({
      uid: UID,
      name: 'till',
      namespace: 'shop',
      ips: ['10.0.0.7', '101:101:101:101:101:101:101:101'],
      hostname: '',
      network: 'one',
      protocol: 'HBONE',
      trustDomain: 'td',
      serviceAccount: 'cashier',
      waypoint: {
        destination: { kind: 'hostname', namespace: 'infra', hostname: 'way.point' },
        hboneMtlsPort: 15_008,
      },
      networkGateway: undefined,
      node: 'node-a',
      clusterId: 'c2',
      canonicalName: 'till',
      canonicalRevision: 'v1',
      workloadName: 'tills',
      workloadType: 'pod',
      nativeTunnel: true,
      applicationTunnel: { protocol: 'PROXY', port: 15_088 },
      authorizationPolicies: ['shop/rule'],
      status: 'Unhealthy',
      locality: { region: 'r', zone: 'z', subzone: 's' },
      networkMode: 'HostNetwork',
      capacity: 3,
      services: new Map([[SHELF, new Map([[80, 8080]])]]),
    });
  });

  it('fills in the defaults of the protocol', () => {
    expect(workload({})).to.deep.include({
      ips: [],
      protocol: 'TCP',
      trustDomain: 'cluster.local',
      serviceAccount: 'default',
      clusterId: 'Kubernetes',
      status: 'Healthy',
      capacity: 1,
      workloadType: 'deployment',
      networkMode: 'Standard',
    });
    expect(workload({ capacity: 0 }).capacity).to.equal(0);
    expect(
      workload({ applicationTunnel: { protocol: 0, port: 0 } }).applicationTunnel,
    ).to.deep.equal({ protocol: 'NONE', port: undefined });
  });

  const refusals: readonly (readonly [WorkloadFields, RegExp])[] = [
    [{ uid: 'other' }, /^its key is "other"$/],
    [{ uid: '' }, /^uid is empty/],
    [{ name: '' }, /^name is empty$/],
    [{ namespace: 'a/b' }, /^namespace is no name: "a\/b"/],
    [{ serviceAccount: 'a b' }, /^service account is no name/],
    [{ trustDomain: 'a/ns/b' }, /^trust domain is no name/],
    [{ addresses: [v4(10, 0, 0)] }, /^an address has 3 bytes: want 4 or 16$/],
    [{ tunnelProtocol: UNKNOWN }, /^tunnel protocol 9 is not known$/],
    [{ status: UNKNOWN }, /^status 9 is not known$/],
    [{ workloadType: UNKNOWN }, /^type 9 is not known$/],
    [{ networkMode: UNKNOWN }, /^network mode 9 is not known$/],
    [{ authorizationPolicies: ['rule'] }, /^policy "rule": want namespace\/name$/],
    [{ services: { shelf: {} } }, /^service "shelf": want namespace\/hostname$/],
    [
      { services: { [SHELF]: { ports: [{ servicePort: 70_000, targetPort: 1 }] } } },
      /^service port 70000: want 1 to 65535$/,
    ],
    [{ waypoint: { hboneMtlsPort: 15_008 } }, /^waypoint has no destination$/],
    [{ applicationTunnel: { protocol: UNKNOWN } }, /^application tunnel 9 is not known$/],
  ];
  for (const [fields, reason] of refusals) {
    it(`refuses ${JSON.stringify(fields)}`, () => {
      expect(reasonOf(decodedWorkload(fields))).to.match(reason);
    });
  }

  it('says all that is wrong, but no more than can be read', () => {
    expect(reasonOf(decodedWorkload({ name: '', status: UNKNOWN }))).to.equal(
      'name is empty, status 9 is not known',
    );
    const addresses = Array.from({ length: 50 }, () => v4(1));
    expect(reasonOf(decodedWorkload({ addresses })).split(', ')).to.have.length(5);
  });

  it('refuses what is no message, and an address of nothing', () => {
    expect(reasonOf(decodeAddress(UID, v4(0xff, 0xff)))).to.match(
      /^not a istio\.workload\.Address/,
    );
    expect(reasonOf(decodeAddress(UID, v4()))).to.equal('it is neither a workload nor a service');
  });
});

describe('decodeAddress() of services', () => {
  it('reads everything that is said', () => {
    const read = service({
      hostname: 'Shelf.shop.svc.cluster.local',
      addresses: [
        { network: 'one', address: v4(10, 96, 0, 5) },
        { network: '', address: v4(10, 96, 0, 6), length: 32 },
        { network: '', address: v4(10, 97, 3, 0), length: 16 },
      ],
      ports: [
        { servicePort: 80, targetPort: 8080, appProtocol: 1 },
        { servicePort: 90, targetPort: 0, appProtocol: UNKNOWN },
      ],
      subjectAltNames: ['spiffe://td/ns/a/sa/b', 'example.com'],
      loadBalancing: { mode: 2, routingPreference: [6, 2], healthPolicy: 1 },
      ipFamilies: 1,
      canonical: true,
      visibility: 1,
      weightedWaypoints: [
        {
          destination: {
            destination: { case: 'address', value: { network: '', address: v4(10, 96, 0, 9) } },
            hboneMtlsPort: 15_008,
          },
          weight: 7,
        },
      ],
    });
    expect(read).to.deep.equal({
      name: 'shelf',
      namespace: 'shop',
      hostname: 'shelf.shop.svc.cluster.local',
      vips: [
        { network: 'one', ip: '10.96.0.5' },
        { network: '', ip: '10.96.0.6' },
      ],
      cidrVips: [{ network: '', cidr: parseCidr('10.97.0.0/16') }],
      ports: new Map([
        [80, 8080],
        [90, 0],
      ]),
      protocols: new Map([[80, 'HTTP/1.1']]),
      subjectAltNames: ['spiffe://td/ns/a/sa/b'],
      waypoint: undefined,
      weightedWaypoints: [
        {
          destination: {
            destination: { kind: 'address', network: '', ip: '10.96.0.9' },
            hboneMtlsPort: 15_008,
          },
          weight: 7,
        },
      ],
      loadBalancer: {
        mode: 'Failover',
        routingPreferences: ['Network', 'Zone'],
        healthPolicy: 'AllowAll',
      },
      ipFamilies: 'IPv4',
      canonical: true,
      visibility: 'Namespace',
    });
  });

  it('lets everybody see a service whose visibility is a word of the future', () => {
    expect(service({ visibility: UNKNOWN }).visibility).to.equal('Public');
  });

  const refusals: readonly (readonly [ServiceFields, RegExp])[] = [
    [{ hostname: '' }, /^hostname is empty/],
    [{ hostname: 'other' }, /^its key is "shop\/other"$/],
    [{ addresses: [{ address: v4(1, 2) }] }, /^an address has 2 bytes/],
    [{ addresses: [{ address: v4(10, 0, 0, 0), length: 33 }] }, /^length 33 of 10\.0\.0\.0$/],
    [{ loadBalancing: { routingPreference: [0] } }, /^routing preference 0 is not known$/],
    [{ loadBalancing: { mode: UNKNOWN } }, /^mode 9 is not known$/],
    [{ ipFamilies: UNKNOWN }, /^address families 9 is not known$/],
    [{ weightedWaypoints: [{ weight: 1 }] }, /^weighted waypoint has no destination$/],
  ];
  for (const [fields, reason] of refusals) {
    it(`refuses ${JSON.stringify(fields)}`, () => {
      expect(reasonOf(decodedService(fields))).to.match(reason);
    });
  }
});

const rules = (match: Partial<WireMatch>) => [{ clauses: [{ matches: [match as WireMatch] }] }];

const exact = (value: string) => ({ matchType: { case: 'exact' as const, value } });

describe('decodePolicy()', () => {
  it('reads scope, action and every condition', () => {
    const read = policy({
      scope: 2,
      action: 1,
      dryRun: true,
      rules: [
        {
          clauses: [
            {
              matches: [
                {
                  namespaces: [exact('a')],
                  notNamespaces: [{ matchType: { case: 'prefix', value: 'b' } }],
                  principals: [{ matchType: { case: 'suffix', value: 'c' } }],
                  notPrincipals: [{ matchType: { case: 'presence', value: {} } }],
                  sourceIps: [{ address: v4(10, 0, 0, 0), length: 8 }],
                  notSourceIps: [{ address: v4(10, 1, 0, 0), length: 16 }],
                  destinationIps: [{ address: v4(10, 2, 0, 1), length: 32 }],
                  notDestinationIps: [{ address: v4(0, 0, 0, 0), length: 0 }],
                  destinationPorts: [80],
                  notDestinationPorts: [81],
                  serviceAccounts: [{ namespace: 'n', serviceAccount: 's' }],
                  notServiceAccounts: [{ namespace: 'n', serviceAccount: 't' }],
                },
                {},
              ],
            },
            {},
          ],
        },
        {},
      ],
    });
    expect(read).to.deep.equal({
      name: 'rule',
      namespace: 'shop',
      scope: 'WorkloadSelector',
      action: 'Deny',
      dryRun: true,
      rules: [
        [
          [
            {
              namespaces: [{ kind: 'exact', value: 'a' }],
              notNamespaces: [{ kind: 'prefix', value: 'b' }],
              principals: [{ kind: 'suffix', value: 'c' }],
              notPrincipals: [{ kind: 'presence' }],
              sourceIps: [parseCidr('10.0.0.0/8')],
              notSourceIps: [parseCidr('10.1.0.0/16')],
              destinationIps: [parseCidr('10.2.0.1/32')],
              notDestinationIps: [parseCidr('0.0.0.0/0')],
              destinationPorts: [80],
              notDestinationPorts: [81],
              serviceAccounts: [{ namespace: 'n', serviceAccount: 's' }],
              notServiceAccounts: [{ namespace: 'n', serviceAccount: 't' }],
            },
            EMPTY_MATCH,
          ],
          [],
        ],
        [],
      ],
    });
  });

  const refusals: readonly (readonly [string, PolicyFields, RegExp])[] = [
    ['an unknown scope', { scope: UNKNOWN }, /^scope 9 is not known$/],
    ['an unknown action', { action: UNKNOWN }, /^action 9 is not known$/],
    ['another name', { name: 'other' }, /^its key is "shop\/other"$/],
    [
      'a match of an unknown kind',
      { rules: rules({ principals: [{ matchType: { case: undefined } }] as never }) },
      /^a string match is of an unknown kind$/,
    ],
    [
      'a match of nothing',
      { rules: rules({ principals: [{ matchType: { case: 'prefix', value: '' } }] as never }) },
      /^a string match is "prefix" of nothing$/,
    ],
    [
      'a block with an impossible length',
      { rules: rules({ sourceIps: [{ address: v4(1, 2, 3, 4), length: 33 }] as never }) },
      /^a block of addresses has 4 bytes and the length 33$/,
    ],
    ['port 0', { rules: rules({ destinationPorts: [0] }) }, /^port 0: want 1 to 65535$/],
    [
      'a condition of a vendor',
      { rules: rules({ extensions: [{ name: 'x' }] as never }) },
      /^extension "x" of a match is not known$/,
    ],
  ];
  for (const [what, fields, reason] of refusals) {
    it(`refuses ${what}: it would mean something else without it`, () => {
      expect(reasonOf(decodedPolicy(fields))).to.match(reason);
    });
  }
});
