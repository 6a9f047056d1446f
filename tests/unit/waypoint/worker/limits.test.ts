import { expect } from 'chai';
import { describe, it } from 'mocha';

import { type PlaneLimits, planeLimits } from '#waypoint/worker/limits.ts';

const MANY = 1_048_576;
const GIBIBYTE = 1 << 30;

/** All but what is off unless somebody wants it. */
function bounded(limits: PlaneLimits): number[] {
  return Object.values({ ...limits, requestBodyBytes: 1 });
}

describe('planeLimits()', () => {
  it('leaves half of the descriptors to endpoints, and seven eighths to other addresses', () => {
    for (const workers of [1, 2, 16]) {
      const limits = planeLimits({ openFilesMax: 20_000, memoryBytes: GIBIBYTE }, workers);
      expect(limits.tunnels * workers).to.be.at.most(10_000);
      expect(limits.tunnelsPerPeer * workers).to.be.at.most(2_500);
      expect(limits.connectionsPerEndpoint * workers).to.be.at.most(5_000);
    }
  });

  it('keeps what waits, connections and requests to a part of the memory over all workers', () => {
    for (const workers of [1, 2, 16]) {
      const limits = planeLimits({ openFilesMax: MANY, memoryBytes: GIBIBYTE }, workers);
      expect(limits.waitingBytes * workers).to.be.at.most(GIBIBYTE / 4);
      expect(limits.keptBytes).to.be.at.most(limits.waitingBytes / 4);
      expect(limits.connections * 16_384 * workers).to.be.at.most(GIBIBYTE / 4);
      expect(limits.requests * 8_192 * workers).to.be.at.most(GIBIBYTE / 8);
    }
  });

  it('lets two workers of a container of 1 GiB have thousands of requests in progress', () => {
    const limits = planeLimits({ openFilesMax: MANY, memoryBytes: GIBIBYTE }, 2);
    expect(limits.requests).to.be.at.least(5_000);
    expect(limits.connections).to.be.at.least(5_000);
  });

  it('is never without a bound, nor nothing at all', () => {
    const most = planeLimits({ openFilesMax: Infinity, memoryBytes: Infinity }, 1);
    expect(bounded(most).every(Number.isFinite)).to.equal(true);
    const least = planeLimits({ openFilesMax: 10, memoryBytes: 10 }, 64);
    expect(bounded(least).every((limit) => limit >= 1)).to.equal(true);
  });
});
