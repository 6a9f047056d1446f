import { expect } from 'chai';
import { describe, it } from 'mocha';

import { backoffMs } from '#common/backoff.ts';

describe('backoffMs()', () => {
  const plan = { firstMs: 100, maxMs: 1_000, spread: 0.2 };

  it('doubles up to its limit', () => {
    const delays = [0, 1, 2, 3, 4, 5, 6, 2_000].map((n) => backoffMs(plan, n, () => 0.5));
    expect(delays).to.deep.equal([100, 100, 200, 400, 800, 1_000, 1_000, 1_000]);
  });

  it('spreads evenly around each delay', () => {
    expect(backoffMs(plan, 1, () => 0)).to.be.closeTo(80, 1e-9);
    expect(backoffMs(plan, 1, () => 1)).to.be.closeTo(120, 1e-9);
  });
});
