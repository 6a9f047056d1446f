import { expect } from 'chai';
import { describe, it } from 'mocha';

import { EnvReader } from '#common/env.ts';

describe('EnvReader', () => {
  it('answers fallbacks and no problem when nothing is set', () => {
    const reader = new EnvReader({});
    expect(reader.text('A')).to.equal(undefined);
    expect(reader.textOr('A', 'x')).to.equal('x');
    expect(reader.boolean('A', true)).to.equal(true);
    expect(reader.integer('A', { fallback: 3, min: 1, max: 5 })).to.equal(3);
    expect(reader.durationMs('A', { fallback: 7, min: 0, max: 10 })).to.equal(7);
    expect(reader.oneOf('A', ['x', 'y'], 'y')).to.equal('y');
    expect(reader.problems).to.deep.equal([]);
  });

  it('takes an empty value as not set, and isEmpty() tells the difference', () => {
    const reader = new EnvReader({ A: ' ' });
    expect(reader.boolean('A', true)).to.equal(true);
    expect(reader.isEmpty('A')).to.equal(true);
    expect(reader.isEmpty('B')).to.equal(false);
  });

  it('reads values of each kind', () => {
    const reader = new EnvReader({ B: 'TRUE', C: '0', N: '0x539', D: '1m30s', O: 'json' });
    expect(reader.boolean('B', false)).to.equal(true);
    expect(reader.boolean('C', true)).to.equal(false);
    expect(reader.integer('N', { fallback: 0, min: 0, max: 2_000 })).to.equal(1_337);
    expect(reader.durationMs('D', { fallback: 0, min: 0, max: 100_000 })).to.equal(90_000);
    expect(reader.oneOf('O', ['text', 'json'], 'text')).to.equal('json');
    expect(reader.problems).to.deep.equal([]);
  });

  it('collects every problem, each with the name, the value and what would be right', () => {
    const reader = new EnvReader({ B: 'yes', N: '6', D: '10', O: 'xml', M: '1.5' });
    reader.boolean('B', false);
    reader.integer('N', { fallback: 3, min: 1, max: 5 });
    reader.integer('M', { fallback: 3, min: 1, max: 5 });
    reader.durationMs('D', { fallback: 0, min: 1_000, max: 60_000 });
    reader.oneOf('O', ['text', 'json'], 'text');
    expect(reader.problems).to.deep.equal([
      'Cannot read B="yes": want "true" or "false"',
      'Cannot read N="6": want a whole number from 1 to 5',
      'Cannot read M="1.5": want a whole number from 1 to 5',
      'Cannot read D="10": want a duration such as "10s" or "1h30m", from 1s to 1m',
      'Cannot read O="xml": want one of "text", "json"',
    ]);
  });

  it('withPrefix() finds the set variables under a prefix', () => {
    const reader = new EnvReader({ H_A: '1', H_: 'x', H_B: '', OTHER: '2', __proto__: '3' });
    expect([...reader.withPrefix('H_')]).to.deep.equal([['A', '1']]);
  });
});
