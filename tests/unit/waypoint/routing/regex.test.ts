import { expect } from 'chai';
import { describe, it } from 'mocha';

import { beginningOf } from '#waypoint/routing/regex.ts';

describe('beginningOf()', () => {
  for (const [expression, beginning] of [
    ['/reviews/[0-9]+', '/reviews/'],
    ['plain', 'plain'],
    ['^/v1/.*$', '/v1/'],
    ['ab?c', 'a'],
    ['ab*', 'a'],
    ['ab{0,2}', 'a'],
    ['ab+', 'ab'],
    ['a😀?', 'a'],
    ['abc|d', ''],
    ['a[|]b', ''],
    ['(?i)abc', ''],
    ['a\\.b', 'a'],
    ['.*', ''],
    ['', ''],
  ] as const) {
    it(`of ${JSON.stringify(expression)} is ${JSON.stringify(beginning)}`, () => {
      expect(beginningOf(expression)).to.equal(beginning);
    });
  }
});
