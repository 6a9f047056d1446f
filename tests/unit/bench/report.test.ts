import { expect } from 'chai';
import { describe, it } from 'mocha';

import { type Sample, tunnelComparison, waypointComparison } from '#bench/figures.ts';
import { formatNumber, renderTable, renderVerdict } from '#bench/report.ts';
import { summarise } from '#bench/statistics.ts';

const rows = summarise(
  new Map<string, Sample[]>([
    ['haproxy', [{ requestsPerSecond: 28_000, p50Us: 150 }, { requestsPerSecond: 30_000 }]],
    ['ours', [{ requestsPerSecond: 31_900 }, { requestsPerSecond: 31_900 }]],
  ]),
  tunnelComparison,
);

describe('renderTable()', () => {
  it('shows median, half the range, ratio, target and verdict in aligned columns', () => {
    const lines = renderTable(rows, ['haproxy', 'ours'], tunnelComparison).split('\n');
    expect(lines).to.deep.equal([
      '                                  haproxy       ours  ours/haproxy  target',
      'requests/s, 64 connections  29,000 ±1,000  31,900 ±0          1.10  ≥ 1.00  met',
      'p50 at one connection, µs             150          -',
    ]);
  });

  it('shows what is bounded for ours alone with the bound', () => {
    const samples = new Map<string, Sample[]>([['ours', [{ restMb: 45.2 }]]]);
    const [, line] = renderTable(
      summarise(samples, waypointComparison),
      ['envoy', 'ours'],
      waypointComparison,
    ).split('\n');
    expect(line?.split(/ {2,}/)).to.deep.equal(['MB at rest (PSS)', '-', '45', 'ours ≤ 80', 'met']);
  });
});

describe('renderVerdict()', () => {
  it('counts the targets that were met', () => {
    expect(renderVerdict(rows, tunnelComparison)).to.equal('1 of 1 targets met');
  });

  it('says so when nothing could be judged', () => {
    expect(renderVerdict([], waypointComparison)).to.match(/^No target was judged.*envoy/);
  });
});

describe('formatNumber()', () => {
  for (const [value, decimals, text] of [
    [1_234_567.891, 1, '1,234,567.9'],
    [999, 0, '999'],
    [1000, 0, '1,000'],
    [0.125, 2, '0.13'],
    [-1234.5, 1, '-1,234.5'],
  ] as const) {
    it(`writes ${value} as ${text}`, () => {
      expect(formatNumber(value, decimals)).to.equal(text);
    });
  }
});
