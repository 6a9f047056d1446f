import { expect } from 'chai';
import { describe, it } from 'mocha';

import { collectGarbage } from '#common/collect-garbage.ts';

/** Apart from whoever looks for it, so that nothing of it is left on the stack. */
function fill(into: object[]): void {
  for (let index = 0; index < 200_000; index++) into.push({ index });
}

describe('collectGarbage()', () => {
  it('has taken what nobody holds when it is done, and nothing else', async () => {
    const held: object[] = [];
    fill(held);
    await collectGarbage();
    const full = process.memoryUsage().heapUsed;
    const [first] = held;
    held.length = 0;
    await collectGarbage();
    expect(full - process.memoryUsage().heapUsed).to.be.above(2_000_000);
    expect(first).to.deep.equal({ index: 0 });
  });
});
