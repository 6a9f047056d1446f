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
    ['/caf\u00c3\u00a9', '/caf%C3%A9'],
    ['/caf%c3%A9', '/caf%C3%A9'],
    ['/a|b^{c}"<d>`', '/a%7Cb%5E%7Bc%7D%22%3Cd%3E%60'],
    ["/!$&'()*+,;=:@-._~", "/!$&'()*+,;=:@-._~"],
    ['/a?b="\u00e9', '/a?b="\u00e9'],
    ['/a%00b', undefined],
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
