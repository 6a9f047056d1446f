import { expect } from 'chai';
import { describe, it } from 'mocha';

import { Phases } from '#ztunnel/phases.ts';

describe('Phases', () => {
  it('tells how long each phase took since the one before, and all of them', () => {
    const phases = new Phases();
    const beganMs = performance.now();
    while (performance.now() < beganMs + 20);
    phases.end('long');
    phases.end('short');
    const { long = '', short = '' } = phases.ended;
    expect(Number.parseFloat(long)).to.be.at.least(19.9);
    expect(Number.parseFloat(short)).to.be.lessThan(Number.parseFloat(long));
    expect(Number.parseFloat(phases.total)).to.be.at.least(Number.parseFloat(long));
    expect([long, short, phases.total].every((text) => /^[0-9]+\.[0-9]ms$/.test(text))).to.equal(
      true,
    );
  });
});
