import { expect } from 'chai';
import { describe, it } from 'mocha';

import { nextGatewayStatus } from '#istiod/controllers/gateway-status.ts';
import type { GatewayStatus } from '#istiod/model/gateway-plan.ts';
import type { Configuration } from '#kube/resources.ts';

const NOW_MS = Date.UTC(2026, 0, 2);
const EARLIER = '2026-01-01T00:00:00Z';
const NOW = '2026-01-02T00:00:00Z';
const accepted = {
  type: 'Accepted',
  status: 'True',
  reason: 'Accepted',
  message: 'Resource accepted',
} as const;
const wanted: GatewayStatus = {
  conditions: [accepted],
  addresses: [{ type: 'Hostname', value: 'way.shop.svc.cluster.local' }],
  listeners: [{ name: 'mesh', attachedRoutes: 0, supportedKinds: [], conditions: [accepted] }],
};

function gateway(status?: object): Configuration {
  return {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'Gateway',
    metadata: { name: 'way', namespace: 'shop', generation: 2 },
    ...(status === undefined ? {} : { status: status as Readonly<Record<string, unknown>> }),
  };
}
const at = (lastTransitionTime: string, observedGeneration = 2) => ({
  ...accepted,
  observedGeneration,
  lastTransitionTime,
});
const statusWith = (condition: object) => ({
  addresses: wanted.addresses,
  conditions: [condition],
  listeners: [{ name: 'mesh', attachedRoutes: 0, supportedKinds: [], conditions: [condition] }],
});

describe('nextGatewayStatus()', () => {
  it('fills an empty status, with the generation in every condition', () => {
    expect(nextGatewayStatus(gateway(), wanted, NOW_MS)).to.deep.equal(statusWith(at(NOW)));
  });

  it('writes nothing when all of it is there, in whatever order the fields are', () => {
    const { addresses, ...rest } = statusWith(at(EARLIER));
    const present = gateway({ ...rest, addresses });
    expect(nextGatewayStatus(present, wanted, NOW_MS)).to.equal(undefined);
  });

  it('tells of a newer generation without moving the time when nothing turned', () => {
    const old = gateway(statusWith(at(EARLIER, 1)));
    expect(nextGatewayStatus(old, wanted, NOW_MS)).to.deep.equal(statusWith(at(EARLIER)));
    const unknown = { ...at('1970-01-01T00:00:00Z'), status: 'Unknown', reason: 'Pending' };
    expect(nextGatewayStatus(gateway(statusWith(unknown)), wanted, NOW_MS)).to.deep.equal(
      statusWith(at(NOW)),
    );
  });

  it('leaves the conditions of others and their places, and takes listeners away that have gone', () => {
    const foreign = { type: 'Foreign', status: 'True' };
    const before = {
      ...statusWith(at(EARLIER)),
      conditions: [foreign, at(EARLIER, 1)],
      listeners: [{ name: 'old', attachedRoutes: 3, conditions: [] }],
    };
    const next = nextGatewayStatus(gateway(before), wanted, NOW_MS);
    expect(next?.['conditions']).to.deep.equal([foreign, at(EARLIER)]);
    expect(next?.['listeners']).to.deep.equal(statusWith(at(NOW)).listeners);
  });

  it('sees that an address has come', () => {
    const before = { ...statusWith(at(EARLIER)), addresses: [] };
    expect(nextGatewayStatus(gateway(before), wanted, NOW_MS)).to.deep.equal(
      statusWith(at(EARLIER)),
    );
  });
});
