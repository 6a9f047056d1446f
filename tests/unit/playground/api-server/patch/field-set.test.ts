import { expect } from 'chai';
import * as fc from 'fast-check';
import { describe, it } from 'mocha';

import { FieldSet } from '#playground/api-server/patch/field-set.ts';

const fields = fc.letrec<{ tree: object }>((tie) => ({
  tree: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constant({}),
    fc.dictionary(fc.constantFrom('f:a', 'f:b', 'v:"x"', 'k:{"name":"y"}', '.'), tie('tree'), {
      maxKeys: 3,
    }),
  ),
})).tree;
const sets = fields.map((tree) => FieldSet.parse(tree));

describe('FieldSet', () => {
  it('parse() reads what toFields() writes', () => {
    const tree = {
      'f:spec': {
        'f:containers': { 'k:{"name":"a"}': { '.': {}, 'f:image': {} } },
        'f:tags': { 'v:"x"': {} },
      },
    };
    expect(FieldSet.parse(tree).toFields()).to.deep.equal(tree);
    expect(FieldSet.parse(tree).paths()).to.deep.equal([
      '.spec.containers[name="a"]',
      '.spec.containers[name="a"].image',
      '.spec.tags[="x"]',
    ]);
  });

  it('is a set: union, intersection and difference fit together', () => {
    fc.assert(
      fc.property(sets, sets, (left, right) => {
        const both = left.intersection(right);
        const paths = new Set([...left.paths(), ...right.paths()]);
        expect(new Set(left.union(right).paths())).to.deep.equal(paths);
        expect(left.difference(right).union(both).equals(left.union(left))).to.equal(true);
        expect(left.difference(right).intersection(right).isEmpty).to.equal(true);
      }),
    );
  });
});
