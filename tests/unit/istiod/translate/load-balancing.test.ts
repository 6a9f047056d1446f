import { expect } from 'chai';
import { describe, it } from 'mocha';

import {
  LoadBalancing_HealthPolicy as Health,
  LoadBalancing_Mode as Mode,
  LoadBalancing_Scope as Scope,
} from '#api/gen/workload_pb.ts';
import { loadBalancing } from '#istiod/translate/load-balancing.ts';
import { serviceRecord } from '#tests/support/control-plane.ts';

const plain = serviceRecord('shelf').balancing;
const zone = [Scope.NETWORK, Scope.REGION, Scope.ZONE];
const node = [...zone, Scope.SUBZONE, Scope.NODE];

function namespace(trafficDistribution: string) {
  return { name: 'shop', labels: {}, trafficDistribution };
}

describe('loadBalancing()', () => {
  it('is nothing when nothing is asked for', () => {
    expect(loadBalancing(plain, undefined)).to.equal(undefined);
    expect(loadBalancing({ ...plain, annotation: 'Any' }, undefined)).to.equal(undefined);
    expect(loadBalancing({ ...plain, annotation: 'nonsense' }, undefined)).to.equal(undefined);
  });

  const table: readonly [more: Partial<typeof plain>, mode: Mode, routing: readonly Scope[]][] = [
    [
      { internalTrafficPolicy: 'Local', trafficDistribution: 'PreferClose' },
      Mode.STRICT,
      [Scope.NODE],
    ],
    [{ trafficDistribution: 'PreferClose' }, Mode.FAILOVER, zone],
    [{ trafficDistribution: 'PreferSameZone' }, Mode.FAILOVER, zone],
    [{ trafficDistribution: 'PreferSameNode' }, Mode.FAILOVER, node],
    [{ annotation: 'preferclose' }, Mode.FAILOVER, zone],
    [{ trafficDistribution: 'PreferSameNode', annotation: 'PreferClose' }, Mode.FAILOVER, node],
  ];
  for (const [more, mode, routing] of table) {
    it(`follows ${JSON.stringify(more)}`, () => {
      const found = loadBalancing({ ...plain, ...more }, undefined);
      expect([found?.mode, found?.routingPreference]).to.deep.equal([mode, routing]);
      expect(found?.healthPolicy).to.equal(Health.ONLY_HEALTHY);
    });
  }

  it('takes the word of the namespace when the service says nothing', () => {
    expect(loadBalancing(plain, namespace('PreferClose'))?.routingPreference).to.deep.equal(zone);
    expect(loadBalancing({ ...plain, annotation: 'Any' }, namespace('PreferClose'))).to.equal(
      undefined,
    );
  });

  it('allows endpoints that are not ready when the service wants them published', () => {
    const found = loadBalancing({ ...plain, publishNotReady: true }, undefined);
    expect(found).to.include({ mode: Mode.UNSPECIFIED_MODE, healthPolicy: Health.ALLOW_ALL });
    // And the next service with the same preference is not touched by it.
    loadBalancing({ ...plain, publishNotReady: true, annotation: 'PreferClose' }, undefined);
    expect(
      loadBalancing({ ...plain, annotation: 'PreferClose' }, undefined)?.healthPolicy,
    ).to.equal(Health.ONLY_HEALTHY);
  });

  it('passes connections through where they were dialled when the service has no endpoints of its own', () => {
    expect(loadBalancing({ ...plain, passthrough: true }, namespace('PreferClose'))).to.include({
      mode: Mode.PASSTHROUGH,
      healthPolicy: Health.ALLOW_ALL,
    });
  });
});
