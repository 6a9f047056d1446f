import { expect } from 'chai';
import { describe, it } from 'mocha';

import { placeTunnel } from '#waypoint/worker/placement.ts';

/** Where so many tunnels end up, of which none closes. */
function placed(count: number, workers: number): readonly number[] {
  const loads = Array.from({ length: workers }, () => 0);
  let last = -1;
  for (let each = 0; each < count; each++) {
    last = placeTunnel(loads, last) ?? -1;
    loads[last] = (loads[last] ?? 0) + 1;
  }
  return loads;
}

describe('placeTunnel()', () => {
  it('gives every worker its equal part, however few there are', () => {
    expect(placed(4, 2)).to.deep.equal([2, 2]);
    expect(placed(3, 3)).to.deep.equal([1, 1, 1]);
    expect(placed(7, 3)).to.deep.equal([3, 2, 2]);
  });

  it('fills up the one that has lost most', () => {
    expect(placeTunnel([5, 2, 4], 1)).to.equal(1);
  });

  it('does not begin with the first one each time, when all have as many', () => {
    expect(placeTunnel([0, 0, 0], 0)).to.equal(1);
    expect(placeTunnel([0, 0, 0], 2)).to.equal(0);
  });

  it('passes over a worker that takes none, and knows when nobody does', () => {
    expect(placeTunnel([undefined, 9], 0)).to.equal(1);
    expect(placeTunnel([undefined, undefined], 0)).to.equal(undefined);
    expect(placeTunnel([], -1)).to.equal(undefined);
  });
});
