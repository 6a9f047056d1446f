import { expect } from 'chai';
import { describe, it } from 'mocha';

import { MultiMap } from '#common/collections/multi-map.ts';

describe('MultiMap', () => {
  it('keeps values under two keys', () => {
    const map = new MultiMap<string, string, number>();
    map.set('a', 'x', 1);
    map.set('a', 'y', 2);
    map.set('b', 'x', 3);
    expect([...map.get('a')]).to.deep.equal([
      ['x', 1],
      ['y', 2],
    ]);
    expect([...map.get('b').values()]).to.deep.equal([3]);
    expect(map.get('c').size).to.equal(0);
  });

  it('keeps the place of an inner key that is set again', () => {
    const map = new MultiMap<string, string, number>();
    map.set('a', 'x', 1);
    map.set('a', 'y', 2);
    map.set('a', 'x', 3);
    expect([...map.get('a').values()]).to.deep.equal([3, 2]);
  });

  it('forgets an outer key with its last value', () => {
    const map = new MultiMap<string, string, number>();
    map.set('a', 'x', 1);
    map.delete('a', 'y');
    expect([...map.outerKeys()]).to.deep.equal(['a']);
    map.delete('a', 'x');
    map.delete('a', 'x');
    expect([...map.outerKeys()]).to.deep.equal([]);
  });
});
