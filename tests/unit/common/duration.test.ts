import { expect } from 'chai';
import * as fc from 'fast-check';
import { describe, it } from 'mocha';

import { formatDurationMs, parseDurationMs } from '#common/duration.ts';

describe('parseDurationMs()', () => {
  const cases: ReadonlyArray<readonly [string, number | undefined]> = [
    ['10s', 10_000],
    ['5m', 300_000],
    ['1h30m', 5_400_000],
    ['100ms', 100],
    ['1m100ms', 60_100],
    ['1.5s', 1_500],
    ['24h', 86_400_000],
    ['0s', 0],
    ['', undefined],
    ['10', undefined],
    ['s', undefined],
    ['-5s', undefined],
    ['1e3s', undefined],
    ['10 s', undefined],
    ['10S', undefined],
    ['1d', undefined],
    ['10s\n', undefined],
    ['9'.repeat(400) + 's', undefined],
  ];
  for (const [text, want] of cases) {
    it(`reads ${JSON.stringify(text.slice(0, 20))} as ${want ?? 'no duration'}`, () => {
      expect(parseDurationMs(text)).to.equal(want);
    });
  }
});

describe('formatDurationMs()', () => {
  it('writes what parseDurationMs() reads back', () => {
    fc.assert(
      fc.property(fc.nat(1_000_000_000), (durationMs) => {
        expect(parseDurationMs(formatDurationMs(durationMs))).to.equal(durationMs);
      }),
    );
  });

  it('uses the largest units', () => {
    expect(formatDurationMs(5_400_000)).to.equal('1h30m');
    expect(formatDurationMs(1_500)).to.equal('1s500ms');
  });
});
