import { expect } from 'chai';
import { describe, it } from 'mocha';

import { structurallyEqual } from '#istiod/krt/equal.ts';

const pairs: readonly [what: string, one: unknown, other: unknown, equal: boolean][] = [
  ['primitives', 1, 1, true],
  ['a number and its text', 1, '1', false],
  ['NaN', Number.NaN, Number.NaN, true],
  ['nested objects', { a: [{ b: 1 }] }, { a: [{ b: 1 }] }, true],
  ['a deep difference', { a: [{ b: 1 }] }, { a: [{ b: 2 }] }, false],
  ['an absent and an undefined property', { a: undefined }, {}, false],
  ['names that only one has', { a: 1, b: undefined }, { a: 1, c: undefined }, false],
  ['a name of every object', { toString: 1 }, { other: 1 }, false],
  ['an object and null', {}, null, false],
  ['an array and an object', [], {}, false],
  ['a longer array', [1], [1, 2], false],
  ['bytes', Uint8Array.of(1, 2), Uint8Array.of(1, 2), true],
  ['other bytes', Uint8Array.of(1, 2), Uint8Array.of(1, 3), false],
  ['a prefix of bytes', Uint8Array.of(1), Uint8Array.of(1, 3), false],
  ['maps', new Map([['a', [1]]]), new Map([['a', [1]]]), true],
  ['maps with other values', new Map([['a', 1]]), new Map([['a', 2]]), false],
  ['sets', new Set([1]), new Set([1, 2]), false],
];

describe('structurallyEqual()', () => {
  for (const [what, one, other, equal] of pairs) {
    it(`says ${String(equal)} for ${what}`, () => {
      expect(structurallyEqual(one, other)).to.equal(equal);
      expect(structurallyEqual(other, one)).to.equal(equal);
    });
  }
});
