import { expect } from 'chai';
import { describe, it } from 'mocha';

import { grpcRouteRecord, httpRouteRecord } from '#istiod/inputs/routes.ts';

function route(spec: Readonly<Record<string, unknown>>) {
  const metadata = { name: 'split', namespace: 'shop', generation: 3 };
  return { apiVersion: 'gateway.networking.k8s.io/v1', kind: 'HTTPRoute', metadata, spec };
}
const parentOf = (written: object) => httpRouteRecord(route({ parentRefs: [written] })).parentRefs;

describe('httpRouteRecord()', () => {
  it('fills in what a parent leaves out, and keeps what is written', () => {
    const written = { name: 'shelf', kind: 'Service', group: '', sectionName: 'http' };
    expect(parentOf({ ...written, port: null, other: 1 })).to.deep.equal([
      {
        group: '',
        kind: 'Service',
        namespace: 'shop',
        name: 'shelf',
        port: undefined,
        section: 'http',
        written,
      },
    ]);
    expect(parentOf({ name: 'door' })).to.deep.equal([
      {
        group: 'gateway.networking.k8s.io',
        kind: 'Gateway',
        namespace: 'shop',
        name: 'door',
        port: undefined,
        section: undefined,
        written: { name: 'door' },
      },
    ]);
  });

  for (const written of [{}, { name: 'shelf', port: 0 }, { name: 'shelf', port: '80' }]) {
    it(`has no parent ${JSON.stringify(written)}`, () => {
      expect(parentOf(written)).to.deep.equal([]);
    });
  }

  it('knows its kind and generation, and takes an empty spec', () => {
    expect(httpRouteRecord(route({}))).to.include({ kind: 'HTTPRoute', generation: 3 });
    expect(grpcRouteRecord(route({}))).to.deep.include({ kind: 'GRPCRoute', rules: [] });
  });
});
