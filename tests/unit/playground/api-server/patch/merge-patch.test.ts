import { expect } from 'chai';
import * as fc from 'fast-check';
import { describe, it } from 'mocha';

import { mergePatch } from '#playground/api-server/patch/merge-patch.ts';

// The test cases of RFC 7386, appendix A.
describe('mergePatch()', () => {
  const table: readonly [unknown, unknown, unknown][] = [
    [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
    [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
    [{ a: 'b' }, { a: null }, {}],
    [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
    [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
    [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
    [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
    [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
    [
      ['a', 'b'],
      ['c', 'd'],
      ['c', 'd'],
    ],
    [{ a: 'b' }, ['c'], ['c']],
    [{ a: 'foo' }, null, null],
    [{ a: 'foo' }, 'bar', 'bar'],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [[1, 2], { a: 'b', c: null }, { a: 'b' }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ];
  for (const [target, patch, result] of table) {
    it(`${JSON.stringify(target)} with ${JSON.stringify(patch)} is ${JSON.stringify(result)}`, () => {
      expect(mergePatch(target, patch)).to.deep.equal(result);
    });
  }

  it('does nothing the second time, and leaves its target as it was', () => {
    const json = fc.object({ key: fc.constantFrom('a', 'b', 'c'), withNullPrototype: false });
    fc.assert(
      fc.property(json, json, (target, patch) => {
        const text = JSON.stringify(target);
        const once = mergePatch(target, patch);
        expect(JSON.stringify(target)).to.equal(text);
        expect(mergePatch(once, patch)).to.deep.equal(once);
      }),
    );
  });
});
