import { expect } from 'chai';
import { describe, it } from 'mocha';

import { ByteBudget } from '#reactor/byte-budget.ts';

describe('ByteBudget', () => {
  it('counts what its holders have, and is full beyond its limit', () => {
    const budget = new ByteBudget(100);
    budget.change(0, 60);
    budget.change(0, 40);
    expect([budget.bytes, budget.isFull]).to.deep.equal([100, false]);
    budget.change(40, 41);
    expect([budget.bytes, budget.isFull]).to.deep.equal([101, true]);
    budget.change(60, 0);
    expect([budget.bytes, budget.isFull]).to.deep.equal([41, false]);
  });

  it('takes from whoever has more than its part when it is full, and from nobody else', () => {
    const budget = new ByteBudget(100);
    budget.change(0, 99);
    expect(budget.takesFrom(99)).to.equal(false);
    budget.change(0, 2);
    expect([budget.takesFrom(99), budget.takesFrom(2)]).to.deep.equal([true, false]);
    budget.change(99, 0);
    expect(budget.takesFrom(2)).to.equal(false);
  });

  it('withholds from whoever has more than its part of a half when that is used', () => {
    const budget = new ByteBudget(100);
    budget.change(0, 50);
    expect(budget.withholdsFrom(50)).to.equal(false);
    budget.change(0, 10);
    expect([budget.withholdsFrom(50), budget.withholdsFrom(10)]).to.deep.equal([true, false]);
    // Whoever has nothing left gets what it is owed.
    expect(budget.withholdsFrom(0)).to.equal(false);
  });

  it('leaves each holder of a larger one its part, and its own limit when there is room', () => {
    const all = new ByteBudget(100);
    const greedy = new ByteBudget(90, all);
    const modest = new ByteBudget(90, all);
    greedy.change(0, 90);
    modest.change(0, 10);
    expect([greedy.isFull, modest.isFull]).to.deep.equal([false, false]);
    modest.change(10, 20);
    expect([all.bytes, greedy.limitBytes, modest.limitBytes]).to.deep.equal([110, 50, 50]);
    expect([greedy.isFull, modest.isFull]).to.deep.equal([true, false]);
    greedy.change(90, 0);
    expect([all.bytes, modest.limitBytes]).to.deep.equal([20, 90]);
  });
});
