import { expect } from 'chai';
import { describe, it } from 'mocha';

import { type Sample, tunnelComparison, waypointComparison } from '#bench/figures.ts';
import {
  judge,
  median,
  percentAbove,
  spread,
  summarise,
  withAddedLatency,
} from '#bench/statistics.ts';

describe('median()', () => {
  it('is the middle value whatever the order', () => {
    expect(median([9, 1, 5])).to.equal(5);
  });

  it('is the mean of the two middle values when their number is even', () => {
    expect(median([10, 2, 4, 100])).to.equal(7);
  });

  it('sorts by value, not by text', () => {
    expect(median([100, 20, 3])).to.equal(20);
  });

  it('is absent without values', () => {
    expect(median([])).to.equal(undefined);
  });
});

describe('spread()', () => {
  it('keeps the range beside the median', () => {
    expect(spread([3, 1, 2])).to.deep.equal({ median: 2, least: 1, most: 3, rounds: 3 });
  });
});

describe('judge()', () => {
  for (const [ratio, target, verdict] of [
    [1, { atLeast: 1 }, 'met'],
    [0.999, { atLeast: 1 }, 'missed'],
    [0.75, { atMost: 0.75 }, 'met'],
    [0.751, { atMost: 0.75 }, 'missed'],
  ] as const) {
    it(`says ${verdict} for ${ratio} against ${JSON.stringify(target)}`, () => {
      expect(judge(ratio, target)).to.equal(verdict);
    });
  }
});

describe('summarise()', () => {
  const samples = new Map<string, Sample[]>([
    ['haproxy', [{ requestsPerSecond: 100, cpuSecondsPerGbUp: 2 }, { requestsPerSecond: 120 }]],
    ['ours', [{ requestsPerSecond: 132, cpuSecondsPerGbUp: 1.8 }, { requestsPerSecond: 110 }]],
    ['other', [{ p50Us: 80 }]],
  ]);

  it('compares the medians of ours with those of haproxy and judges them by the target', () => {
    const [requests, , stream] = summarise(samples, tunnelComparison);
    expect(requests).to.include({ key: 'requestsPerSecond', verdict: 'met' });
    expect(requests?.ratio).to.be.closeTo(1.1, 1e-9);
    expect(stream).to.include({ key: 'cpuSecondsPerGbUp', verdict: 'missed' });
    expect(stream?.ratio).to.be.closeTo(0.9, 1e-9);
  });

  it('gives a figure that only another column has no ratio', () => {
    const row = summarise(samples, tunnelComparison).find((each) => each.key === 'p50Us');
    expect([...(row?.columns.keys() ?? [])]).to.deep.equal(['other']);
    expect(row).to.not.have.any.keys('ratio', 'verdict');
  });

  it('leaves out figures that no column has', () => {
    expect(summarise(samples, tunnelComparison).map((row) => row.key)).to.deep.equal([
      'requestsPerSecond',
      'p50Us',
      'cpuSecondsPerGbUp',
    ]);
  });

  it('gives no ratio against a baseline of zero', () => {
    const rows = summarise(
      new Map<string, Sample[]>([
        ['haproxy', [{ kbPerIdleConnection: 0 }]],
        ['ours', [{ kbPerIdleConnection: 1 }]],
      ]),
      tunnelComparison,
    );
    expect(rows[0]).to.not.have.any.keys('ratio', 'verdict');
  });

  it('judges a bound of our own figure without the baseline', () => {
    const rows = summarise(
      new Map<string, Sample[]>([['ours', [{ restMb: 80.1, requestsPerSecond: 5 }]]]),
      waypointComparison,
    );
    expect(rows.map(({ key, verdict }) => [key, verdict])).to.deep.equal([
      ['requestsPerSecond', undefined],
      ['restMb', 'missed'],
    ]);
  });
});

describe('percentAbove()', () => {
  it('compares the medians', () => {
    expect(percentAbove([1, 22, 100], [20, 1, 30])).to.be.closeTo(10, 1e-9);
    expect(percentAbove([19], [20])).to.be.closeTo(-5, 1e-9);
  });

  it('is absent without values on either side', () => {
    expect([percentAbove([], [1]), percentAbove([1], [])]).to.deep.equal([undefined, undefined]);
  });
});

describe('withAddedLatency()', () => {
  it('gives every column what its median is above that of the direct path in the same round', () => {
    const round = new Map<string, Sample>([
      ['ours', { p50Us: 400, p99Us: 900 }],
      ['direct', { p50Us: 250 }],
      ['envoy', { requestsPerSecond: 1 }],
    ]);
    expect([...withAddedLatency(round)]).to.deep.equal([
      ['ours', { p50Us: 400, p99Us: 900, addedP50Us: 150 }],
      ['direct', { p50Us: 250 }],
      ['envoy', { requestsPerSecond: 1 }],
    ]);
  });

  it('leaves the samples as they are when the direct path was not measured', () => {
    const round = new Map<string, Sample>([['ours', { p50Us: 400 }]]);
    expect([...withAddedLatency(round)]).to.deep.equal([...round]);
  });
});
