import { expect } from 'chai';
import { describe, it } from 'mocha';

import { isQuantity, parseQuantity } from '#kube/quantity.ts';

describe('parseQuantity()', () => {
  const table: readonly (readonly [string, number | undefined])[] = [
    ['2', 2],
    ['250m', 0.25],
    ['1.5Gi', 1.5 * 2 ** 30],
    ['64Mi', 64 * 2 ** 20],
    ['2k', 2000],
    ['2e3', 2000],
    ['-1', -1],
    ['.5', 0.5],
    ['', undefined],
    ['2 Gi', undefined],
    ['2KB', undefined],
    ['many', undefined],
  ];
  for (const [text, value] of table) {
    it(`reads ${JSON.stringify(text)} as ${value ?? 'nothing'}`, () => {
      expect(isQuantity(text)).to.equal(value !== undefined);
      if (value === undefined) expect(parseQuantity(text)).to.equal(undefined);
      else expect(parseQuantity(text)).to.be.closeTo(value, 1e-9);
    });
  }
});
