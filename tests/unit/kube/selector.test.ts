import { expect } from 'chai';
import { describe, it } from 'mocha';

import {
  formatLabelSelector,
  matchesFields,
  matchesLabels,
  parseFieldSelector,
  parseLabelSelector,
} from '#kube/selector.ts';

function selects(text: string, labels: Record<string, string>): boolean {
  const parsed = parseLabelSelector(text);
  if (parsed.kind === 'error') throw new Error(parsed.message);
  return matchesLabels(parsed.requirements, labels);
}

describe('parseLabelSelector()', () => {
  const table: readonly [string, Record<string, string>, boolean][] = [
    ['', {}, true],
    ['a=b', { a: 'b' }, true],
    ['a==b', { a: 'b' }, true],
    ['a=b', { a: 'c' }, false],
    ['a=', { a: '' }, true],
    ['a=', {}, false],
    ['a!=b', {}, true],
    ['a!=b', { a: 'b' }, false],
    ['a in (b, c)', { a: 'c' }, true],
    ['a in (b,c)', { a: 'd' }, false],
    ['a notin (b,c)', {}, true],
    ['a notin (b,c),x', { x: '' }, true],
    ['a', { a: 'anything' }, true],
    ['!a', { a: 'anything' }, false],
    [' ! a , b = c ', { b: 'c' }, true],
    ['n>3', { n: '4' }, true],
    ['n<3', { n: 'four' }, false],
    ['istio.io/dataplane-mode=ambient', { 'istio.io/dataplane-mode': 'ambient' }, true],
    ['constructor', {}, false],
  ];
  for (const [text, labels, expected] of table) {
    it(`reads ${JSON.stringify(text)}: ${JSON.stringify(labels)} is ${expected ? 'selected' : 'left out'}`, () => {
      expect(selects(text, labels)).to.equal(expected);
    });
  }

  const wrong: readonly [string, string][] = [
    ['a in', "found '', expected: '('"],
    ['a in (b', "found '', expected: ',' or ')'"],
    ['a=b,', "found '', expected: identifier after ','"],
    ['a b', "found 'b', expected: in, notin, =, ==, !=, gt, lt"],
    ['=b', "found '=b', expected: identifier"],
    ['a=b c', "found 'c', expected: ',' or 'end of string'"],
    ['n>x', 'the value must be an integer'],
    ['-a=b', 'name part must consist of alphanumeric characters'],
    ['a=-b', 'a valid label must be an empty string or consist of'],
  ];
  for (const [text, reason] of wrong) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      const parsed = parseLabelSelector(text);
      expect(parsed).to.have.property('message').that.includes(reason);
    });
  }
});

describe('matchesLabels()', () => {
  it('takes the selector of an object: every label and every expression has to hold', () => {
    const selector = {
      matchLabels: { app: 'shop' },
      matchExpressions: [{ key: 'tier', operator: 'NotIn', values: ['test'] }],
    };
    expect(matchesLabels(selector, { app: 'shop' })).to.equal(true);
    expect(matchesLabels(selector, { app: 'shop', tier: 'test' })).to.equal(false);
    expect(matchesLabels({}, undefined)).to.equal(true);
  });
});

describe('formatLabelSelector()', () => {
  it('writes what parseLabelSelector() reads', () => {
    const text = formatLabelSelector({
      matchLabels: { app: 'shop' },
      matchExpressions: [
        { key: 'tier', operator: 'In', values: ['a', 'b'] },
        { key: 'old', operator: 'DoesNotExist' },
      ],
    });
    expect(text).to.equal('app=shop,tier in (a,b),!old');
    expect(selects(text, { app: 'shop', tier: 'b' })).to.equal(true);
  });
});

describe('parseFieldSelector()', () => {
  it('reads equal and unequal terms, with escaped characters in values', () => {
    const parsed = parseFieldSelector('metadata.name=a,status.phase!=Running,x==a\\,b\\=c');
    expect(parsed).to.deep.equal({
      kind: 'terms',
      terms: [
        { path: 'metadata.name', equal: true, value: 'a' },
        { path: 'status.phase', equal: false, value: 'Running' },
        { path: 'x', equal: true, value: 'a,b=c' },
      ],
    });
  });

  it('refuses a term without an operator', () => {
    expect(parseFieldSelector('metadata.name')).to.deep.equal({
      kind: 'error',
      message: "invalid selector: 'metadata.name'; can't understand 'metadata.name'",
    });
  });
});

describe('matchesFields()', () => {
  it('compares every term with what the object has there', () => {
    const terms = [{ path: 'spec.nodeName', equal: true, value: '' }];
    expect(matchesFields(terms, () => '')).to.equal(true);
    expect(matchesFields(terms, () => 'node-1')).to.equal(false);
  });
});
