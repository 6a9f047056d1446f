import { expect } from 'chai';
import { describe, it } from 'mocha';

import { jsonPatch } from '#playground/api-server/patch/json-patch.ts';

// The examples of RFC 6902, appendix A, and what its text says about wrong patches.
describe('jsonPatch()', () => {
  const table: readonly [string, unknown, unknown, unknown][] = [
    [
      'A.1',
      { foo: 'bar' },
      [{ op: 'add', path: '/baz', value: 'qux' }],
      { baz: 'qux', foo: 'bar' },
    ],
    [
      'A.2',
      { foo: ['bar', 'baz'] },
      [{ op: 'add', path: '/foo/1', value: 'qux' }],
      { foo: ['bar', 'qux', 'baz'] },
    ],
    ['A.3', { baz: 'qux', foo: 'bar' }, [{ op: 'remove', path: '/baz' }], { foo: 'bar' }],
    [
      'A.4',
      { foo: ['bar', 'qux', 'baz'] },
      [{ op: 'remove', path: '/foo/1' }],
      { foo: ['bar', 'baz'] },
    ],
    ['A.5', { baz: 'qux' }, [{ op: 'replace', path: '/baz', value: 'boo' }], { baz: 'boo' }],
    [
      'A.6',
      { foo: { a: 1 }, qux: { b: 2 } },
      [{ op: 'move', from: '/foo/a', path: '/qux/c' }],
      { foo: {}, qux: { b: 2, c: 1 } },
    ],
    [
      'A.7',
      { foo: ['all', 'grass', 'cows', 'eat'] },
      [{ op: 'move', from: '/foo/1', path: '/foo/3' }],
      { foo: ['all', 'cows', 'eat', 'grass'] },
    ],
    [
      'A.8',
      { baz: 'qux', foo: ['a', 2] },
      [{ op: 'test', path: '/foo/1', value: 2 }],
      { baz: 'qux', foo: ['a', 2] },
    ],
    [
      'A.11',
      { foo: 'bar' },
      [{ op: 'add', path: '/baz', value: 'qux', xyz: 123 }],
      { foo: 'bar', baz: 'qux' },
    ],
    ['A.14', { '/': 9, '~1': 10 }, [{ op: 'test', path: '/~01', value: 10 }], { '/': 9, '~1': 10 }],
    [
      'A.16',
      { foo: ['bar'] },
      [{ op: 'add', path: '/foo/-', value: ['abc'] }],
      { foo: ['bar', ['abc']] },
    ],
    [
      'copy',
      { a: { b: 1 } },
      [{ op: 'copy', from: '/a', path: '/c' }],
      { a: { b: 1 }, c: { b: 1 } },
    ],
    ['whole', { a: 1 }, [{ op: 'replace', path: '', value: { b: 2 } }], { b: 2 }],
  ];
  for (const [name, before, patch, after] of table) {
    it(`does ${name}: ${JSON.stringify(patch)}`, () => {
      expect(jsonPatch(before, patch)).to.deep.equal({ kind: 'patched', value: after });
    });
  }

  const wrong: readonly [unknown, string][] = [
    [{ op: 'add' }, 'malformed'],
    [[{ op: 'add', path: '/a' }], 'malformed'],
    [[{ op: 'add', path: 'a', value: 1 }], 'malformed'],
    [[{ op: 'delete', path: '/a' }], 'inapplicable'],
    [[{ op: 'remove', path: '/none' }], 'inapplicable'],
    [[{ op: 'replace', path: '/none', value: 1 }], 'inapplicable'],
    [[{ op: 'add', path: '/none/deeper', value: 1 }], 'inapplicable'],
    [[{ op: 'add', path: '/list/5', value: 1 }], 'inapplicable'],
    [[{ op: 'add', path: '/list/01', value: 1 }], 'inapplicable'],
    [[{ op: 'test', path: '/a', value: 2 }], 'inapplicable'],
    [[{ op: 'move', from: '/o', path: '/o/deeper' }], 'inapplicable'],
    [[{ op: 'remove', path: '/constructor' }], 'inapplicable'],
  ];
  for (const [patch, kind] of wrong) {
    it(`calls ${JSON.stringify(patch)} ${kind} and changes nothing`, () => {
      const before = { a: 1, list: [1], o: {} };
      expect(jsonPatch(before, patch)).to.have.property('kind', kind);
      expect(before).to.deep.equal({ a: 1, list: [1], o: {} });
    });
  }
});
