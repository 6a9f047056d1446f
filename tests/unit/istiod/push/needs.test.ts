import { expect } from 'chai';
import { describe, it } from 'mocha';

import { mergeChanges, urgentFirst } from '#istiod/push/needs.ts';

describe('urgentFirst()', () => {
  it('puts those first on whose node something has changed, and keeps the order otherwise', () => {
    const clients = ['', 'b', 'a', 'c', 'a'].map((node, id) => ({ node, id }));
    const order = (...nodes: string[]) => urgentFirst(clients, new Set(nodes)).map(({ id }) => id);
    expect(order('a')).to.deep.equal([2, 4, 0, 1, 3]);
    expect(order('')).to.deep.equal([0, 1, 2, 3, 4]);
    expect(order()).to.deep.equal([0, 1, 2, 3, 4]);
  });
});

describe('mergeChanges()', () => {
  it('has everything of both, and changes neither', () => {
    const one = new Map([['x', new Set(['1'])]]);
    const other = new Map([
      ['x', new Set(['2'])],
      ['y', new Set(['3'])],
    ]);
    expect(mergeChanges(one, other)).to.deep.equal(
      new Map([
        ['x', new Set(['1', '2'])],
        ['y', new Set(['3'])],
      ]),
    );
    expect(one).to.deep.equal(new Map([['x', new Set(['1'])]]));
    expect(other.get('x')).to.deep.equal(new Set(['2']));
  });
});
