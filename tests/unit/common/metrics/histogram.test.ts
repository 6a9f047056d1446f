import { expect } from 'chai';
import { describe, it } from 'mocha';

import { Histogram } from '#common/metrics/histogram.ts';

describe('Histogram', () => {
  it('counts what is at most so much, and everything', () => {
    const histogram = new Histogram([1, 10]);
    for (const amount of [0, 1, 2, 10, 11]) histogram.observe(amount);
    expect(histogram.read()).to.deep.equal({
      buckets: [
        { atMost: 1, count: 2 },
        { atMost: 10, count: 4 },
      ],
      sum: 24,
      count: 5,
    });
  });

  it('has all its buckets before anything came', () => {
    const buckets = [{ atMost: 1, count: 0 }];
    expect(new Histogram([1]).read()).to.deep.equal({ buckets, sum: 0, count: 0 });
  });
});
