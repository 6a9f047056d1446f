import { X509Certificate } from 'node:crypto';

import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { ConfigDumpParts } from '#dataplane/admin/config-dump.ts';
import { dumpConfig, dumpMesh } from '#dataplane/admin/config-dump.ts';
import type { WorkloadUid } from '#dataplane/state/names.ts';
import { parseNamespacedHost } from '#dataplane/state/names.ts';
import { serviceOf } from '#dataplane/state/service.ts';
import { MeshStore } from '#dataplane/state/store.ts';
import { workloadOf } from '#dataplane/state/workload.ts';
import { TestAuthority } from '#tests/support/tls-material.ts';

const authority = new TestAuthority();

function partsOf(given: Partial<ConfigDumpParts> = {}): ConfigDumpParts {
  const store = new MeshStore();
  return {
    mesh: () => dumpMesh(store),
    staticConfig: () => null,
    build: { version: '1.2.3', gitRevision: 'abc' },
    config: () => ({ self: { network: '' } }),
    certificates: () => [],
    pods: () => Promise.resolve([]),
    ...given,
  };
}

async function dump(given: Partial<ConfigDumpParts>): Promise<Record<string, unknown>> {
  return JSON.parse(await dumpConfig(partsOf(given))) as Record<string, unknown>;
}

describe('dumpConfig()', () => {
  it('has every part, also when nothing is known yet', async () => {
    const { version, ...rest } = await dump({});
    expect(rest).to.deep.equal({
      workloads: [],
      services: [],
      policies: [],
      stagedServices: {},
      staticConfig: null,
      config: { self: { network: '' } },
      certificates: [],
      workloadState: {},
    });
    expect(version).to.have.keys([
      'version',
      'gitRevision',
      'rustVersion',
      'buildProfile',
      'buildStatus',
      'istioVersion',
      'cryptoProvider',
    ]);
  });

  it('shows pods with their connections by direction', async () => {
    const pod = {
      uid: '__proto__',
      state: 'Up',
      name: 'till',
      namespace: 'shop',
      serviceAccount: 'default',
      connections: [
        {
          direction: 'inbound',
          source: '10.0.0.1:1',
          originalDestination: undefined,
          actualDestination: '10.0.0.2:80',
          protocol: 'HBONE',
        },
        {
          direction: 'outbound',
          source: '10.0.0.2:2',
          originalDestination: '10.96.0.1:80',
          actualDestination: '10.0.0.3:15008',
          protocol: 'HBONE',
        },
      ],
    } as const;
    const text = await dumpConfig(partsOf({ pods: () => Promise.resolve([pod]) }));
    const pods = Object.entries((JSON.parse(text) as { workloadState: object }).workloadState);
    expect(pods).to.deep.equal([
      [
        '__proto__',
        {
          state: 'Up',
          connections: {
            inbound: [
              {
                src: '10.0.0.1:1',
                originalDst: null,
                actualDst: '10.0.0.2:80',
                protocol: 'HBONE',
              },
            ],
            outbound: [
              {
                src: '10.0.0.2:2',
                originalDst: '10.96.0.1:80',
                actualDst: '10.0.0.3:15008',
                protocol: 'HBONE',
              },
            ],
          },
          info: { name: 'till', namespace: 'shop', serviceAccount: 'default' },
        },
      ],
    ]);
  });

  it('shows certificates in each state, and no key', async () => {
    const material = authority.issue();
    const leaf = new X509Certificate(material.chainPem[0]!);
    const text = await dumpConfig(
      partsOf({
        certificates: () => [
          { identity: 'spiffe://a', state: { kind: 'initializing' } },
          { identity: 'spiffe://b', state: { kind: 'unavailable', error: 'refused' } },
          { identity: 'spiffe://c', state: { kind: 'available', ...material } },
        ],
      }),
    );
    const { certificates } = JSON.parse(text) as { certificates: readonly object[] };
    expect(certificates.slice(0, 2)).to.deep.equal([
      { identity: 'spiffe://a', state: 'Initializing', certChain: [], rootCerts: [] },
      { identity: 'spiffe://b', state: 'Unavailable: refused', certChain: [], rootCerts: [] },
    ]);
    const available = certificates[2] as {
      certChain: ReadonlyArray<Record<string, string>>;
      rootCerts: readonly unknown[];
    };
    const [shown] = available.certChain;
    expect(available.rootCerts).to.have.length(1);
    expect(shown!['serialNumber']).to.equal(BigInt(`0x${leaf.serialNumber}`).toString());
    expect(shown!['expirationTime']).to.equal(leaf.validToDate.toISOString().replace('.000Z', 'Z'));
    const pem = Buffer.from(shown!['pem']!, 'base64').toString();
    expect(new X509Certificate(pem).fingerprint256).to.equal(leaf.fingerprint256);
    expect(text).not.to.contain('PRIVATE');
    expect(text).not.to.contain(Buffer.from('PRIVATE').toString('base64').slice(0, 8));
  });
});

describe('dumpMesh()', () => {
  it('shows services with their endpoints, and endpoints of services that are not known', () => {
    const store = new MeshStore();
    const known = parseNamespacedHost('shop/stock.shop')!;
    const unknown = parseNamespacedHost('shop/other.shop')!;
    const ports = new Map([[80, 8_080]]);
    store.apply({
      upsertWorkloads: [
        workloadOf({
          uid: 'w1' as WorkloadUid,
          name: 'stock-1',
          namespace: 'shop',
          services: new Map([
            [known, ports],
            [unknown, ports],
          ]),
        }),
      ],
      removeWorkloads: [],
      upsertServices: [serviceOf({ name: 'stock', namespace: 'shop', hostname: 'stock.shop' })],
      removeServices: [],
      upsertPolicies: [],
      removePolicies: [],
    });
    const endpoints = { w1: { workloadUid: 'w1', port: { 80: 8_080 }, status: 'Healthy' } };
    const mesh = dumpMesh(store);
    expect(mesh.workloads).to.have.length(1);
    expect(mesh.services).to.have.deep.nested.property('[0].endpoints', endpoints);
    expect(mesh.stagedServices).to.deep.equal({ 'shop/other.shop': endpoints });
  });
});
