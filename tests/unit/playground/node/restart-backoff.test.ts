import { expect } from 'chai';
import { describe, it } from 'mocha';

import { RestartBackoff } from '#playground/node/restart-backoff.ts';

describe('RestartBackoff', () => {
  it('ended() waits twice as long each time, up to five minutes', () => {
    const backoff = new RestartBackoff();
    let nowMs = 0;
    const delays = Array.from({ length: 8 }, () => {
      const delayMs = backoff.ended(nowMs, 1);
      nowMs += delayMs + 1;
      return delayMs / 1_000;
    });
    expect(delays).to.deep.equal([0, 10, 20, 40, 80, 160, 300, 300]);
  });

  it('ended() starts over with a container that has run for ten minutes', () => {
    const backoff = new RestartBackoff();
    backoff.ended(0, 1);
    expect(backoff.ended(1, 1)).to.equal(10_000);
    expect(backoff.ended(500_000, 600_000)).to.equal(0);
  });
});
