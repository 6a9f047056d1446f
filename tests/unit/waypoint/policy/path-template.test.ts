import { expect } from 'chai';
import { describe, it } from 'mocha';

import { parsePathTemplate, templateMatches } from '#waypoint/policy/path-template.ts';

describe('a path template', () => {
  for (const [template, path, holds] of [
    ['/a/{*}', '/a/b', true],
    ['/a/{*}', '/a/', false],
    ['/a/{*}', '/a/b/c', false],
    ['/a/{**}', '/a/b/c', true],
    ['/a/{**}/z', '/a/z', true],
    ['/a/{**}/z', '/a/b/c/z', true],
    ['/a/{**}/z', '/a/b', false],
    ['/{*}/x/{**}', '/a/x/b', true],
  ] as const) {
    it(`${template} ${holds ? 'is' : 'is not'} met by ${path}`, () => {
      const parsed = parsePathTemplate(template);
      expect(parsed === undefined ? 'no template' : templateMatches(parsed, path)).to.equal(holds);
    });
  }

  for (const text of ['a/{*}', '/a{*}', '/{**}/{**}', '/{x}', '/a*']) {
    it(`is not ${text}`, () => {
      expect(parsePathTemplate(text)).to.equal(undefined);
    });
  }
});
