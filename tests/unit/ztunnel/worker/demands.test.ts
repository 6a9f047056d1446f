import { expect } from 'chai';
import { beforeEach, describe, it } from 'mocha';

import { Demands } from '#ztunnel/worker/demands.ts';

class Waiter {
  woken = 0;
  faults = 0;
  fails = false;

  onAnswered(): void {
    this.woken++;
    if (this.fails) throw new Error('a fault');
  }

  onFault(): void {
    this.faults++;
  }
}

describe('Demands', () => {
  let asked: (readonly string[])[];
  let demands: Demands;
  let one: Waiter;
  let two: Waiter;

  beforeEach(() => {
    asked = [];
    demands = new Demands((names) => asked.push(names));
    [one, two] = [new Waiter(), new Waiter()];
  });

  it('asks once for all that wait for a name', () => {
    demands.want(['/1', '/2'], one);
    demands.want(['/2', '/3'], two);
    expect(asked).to.deep.equal([['/1', '/2'], ['/3']]);
    expect(demands.areAnswered(['/1'])).to.equal(false);
  });

  it('wakes who waits, once, and asks no more', () => {
    demands.want(['/1', '/2'], one);
    demands.want(['/2'], two);
    demands.answer(['/1', '/2']);
    expect([one.woken, two.woken]).to.deep.equal([1, 1]);
    demands.answer(['/1']);
    expect(one.woken).to.equal(1);
    demands.want(['/1', '/2'], one);
    expect(asked).to.have.length(1);
    expect(demands.areAnswered(['/1', '/2'])).to.equal(true);
    expect(demands.areAnswered(['/1', '/3'])).to.equal(false);
  });

  it('does not wake who has given up', () => {
    demands.want(['/1'], one);
    demands.want(['/1'], two);
    demands.cancel(['/1'], one);
    demands.answer(['/1']);
    expect([one.woken, two.woken]).to.deep.equal([0, 1]);
  });

  it('asks again for what everybody had given up, and for what was forgotten', () => {
    demands.want(['/1'], one);
    demands.cancel(['/1'], one);
    demands.want(['/1'], two);
    expect(asked).to.deep.equal([['/1'], ['/1']]);
    demands.answer(['/1']);
    demands.forget(['/1']);
    expect(demands.areAnswered(['/1'])).to.equal(false);
    demands.want(['/1'], two);
    expect(asked).to.have.length(3);
  });

  it('wakes the others when one of them fails', () => {
    one.fails = true;
    demands.want(['/1'], one);
    demands.want(['/1'], two);
    demands.answer(['/1']);
    expect([one.faults, two.woken]).to.deep.equal([1, 1]);
  });
});
