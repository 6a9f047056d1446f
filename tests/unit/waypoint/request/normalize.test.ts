import { expect } from 'chai';
import { describe, it } from 'mocha';

import { normalizePath } from '#waypoint/request/normalize.ts';

describe('normalizePath()', () => {
  for (const [given, wanted] of [
    ['/', '/'],
    ['*', '*'],
    ['/a/b?c=../d', '/a/b?c=../d'],
    ['/a/./b/../c', '/a/c'],
    ['/a/..', '/'],
    ['/a/.', '/a/'],
    ['/a/%2e%2E/b', '/b'],
    ['/%61dmin', '/admin'],
    ['/a%2fb', '/a%2Fb'],
    ['/a\\..\\b', '/b'],
    ['/a//b', '/a//b'],
    ['/a/...', '/a/...'],
    ['/a?x=%2e', '/a?x=%2e'],
    ['/..', undefined],
    ['/a/../../b', undefined],
    ['/a%', undefined],
    ['/a%zz', undefined],
    ['/a#b', undefined],
    ['a', undefined],
    ['', undefined],
  ] as const) {
    it(`makes ${JSON.stringify(given)} ${wanted === undefined ? 'nothing' : wanted}`, () => {
      expect(normalizePath(given)).to.equal(wanted);
      // What was made is what it should be.
      if (wanted !== undefined) expect(normalizePath(wanted)).to.equal(wanted);
    });
  }
});
