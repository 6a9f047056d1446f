import { expect } from 'chai';
import { beforeEach, describe, it } from 'mocha';

import { Heartbeat } from '#dataplane/workers/heartbeat.ts';

describe('Heartbeat', () => {
  let heartbeat: Heartbeat;

  beforeEach(() => {
    heartbeat = new Heartbeat();
  });

  const beats = (count: number): string[] => Array.from({ length: count }, () => heartbeat.beat());

  it('beat() is well for as long as each is answered before the fourth', () => {
    for (let round = 0; round < 20; round++) {
      expect(beats(3)).to.deep.equal(['well', 'well', 'well']);
      expect(heartbeat.heard()).to.equal(false);
    }
  });

  it('beat() is silent after three without an answer, and stuck after ten', () => {
    expect(beats(11)).to.deep.equal([
      ...Array.from({ length: 3 }, () => 'well'),
      ...Array.from({ length: 7 }, () => 'silent'),
      'stuck',
    ]);
  });

  it('heard() says that the silence is over, once', () => {
    beats(9);
    expect(heartbeat.heard()).to.equal(true);
    expect(heartbeat.heard()).to.equal(false);
    expect(beats(1)).to.deep.equal(['well']);
  });
});
