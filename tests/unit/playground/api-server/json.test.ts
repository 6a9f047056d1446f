import { expect } from 'chai';
import { describe, it } from 'mocha';

import {
  at,
  deepCopy,
  deepEqual,
  ensureObject,
  objectsAt,
  own,
  shareWith,
  textAt,
} from '#playground/api-server/json.ts';

describe('own()', () => {
  it('sees no field that every object inherits', () => {
    expect(own({}, 'constructor')).to.equal(undefined);
    expect(own({ constructor: 1 }, 'constructor')).to.equal(1);
    expect(own([1], '0')).to.equal(undefined);
  });
});

describe('at()', () => {
  it('follows a path as far as there is one', () => {
    const object = { a: { b: 'c', d: [{ e: 1 }, 2] } };
    expect(at(object, 'a', 'b')).to.equal('c');
    expect(at(object, 'a', 'x', 'y')).to.equal(undefined);
    expect(textAt(object, 'a', 'd')).to.equal('');
    expect(objectsAt(object, 'a', 'd')).to.deep.equal([{ e: 1 }]);
  });
});

describe('ensureObject()', () => {
  it('keeps the object that is there and replaces anything else', () => {
    const kept = { x: 1 };
    const object: Record<string, unknown> = { kept, text: 'text' };
    expect(ensureObject(object, 'kept')).to.equal(kept);
    ensureObject(object, 'text')['y'] = 2;
    expect(object).to.deep.equal({ kept: { x: 1 }, text: { y: 2 } });
  });
});

describe('deepEqual()', () => {
  it('does not mind the order of fields, but that of items', () => {
    expect(deepEqual({ a: 1, b: [1, { c: null }] }, { b: [1, { c: null }], a: 1 })).to.equal(true);
    expect(deepEqual([1, 2], [2, 1])).to.equal(false);
    expect(deepEqual({ a: undefined }, {})).to.equal(false);
    expect(deepEqual({}, [])).to.equal(false);
  });
});

describe('shareWith()', () => {
  it('gives the former value when nothing has changed', () => {
    const before = { spec: { list: [{ a: 1 }] } };
    expect(shareWith(deepCopy(before), before)).to.equal(before);
  });

  it('keeps the parts that are the same and says what the new value says', () => {
    const before = { spec: { list: [{ a: 1 }, { b: 2 }], x: 1 }, status: { phase: 'Running' } };
    const next = shareWith(
      { spec: { list: [{ a: 1 }, { b: 3 }] }, status: { phase: 'Running' } },
      before,
    );
    expect(next).to.deep.equal({
      spec: { list: [{ a: 1 }, { b: 3 }] },
      status: { phase: 'Running' },
    });
    expect(next.status).to.equal(before.status);
    expect(next.spec.list[0]).to.equal(before.spec.list[0]);
    expect(before.spec.list[1]).to.deep.equal({ b: 2 });
  });
});
