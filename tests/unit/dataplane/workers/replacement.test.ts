import { expect } from 'chai';
import { describe, it } from 'mocha';

import { Replacement } from '#dataplane/workers/replacement.ts';

describe('Replacement', () => {
  it('delayAfterDeathMs() doubles, and gives up at the sixth death within a minute', () => {
    const replacement = new Replacement();
    const delays = [0, 1, 2, 3, 4, 5].map((s) => replacement.delayAfterDeathMs(s * 1_000));
    expect(delays).to.deep.equal([100, 200, 400, 800, 1_600, undefined]);
  });

  it('delayAfterDeathMs() begins anew when the last death is a minute ago', () => {
    const replacement = new Replacement();
    replacement.delayAfterDeathMs(0);
    expect(replacement.delayAfterDeathMs(59_999)).to.equal(200);
    expect(replacement.delayAfterDeathMs(119_999)).to.equal(100);
  });
});
