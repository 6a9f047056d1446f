import { readFileSync } from 'node:fs';
import { constants } from 'node:os';

import { expect } from 'chai';
import { describe, it } from 'mocha';

import { hasUseFor } from '#playground/node/process-signals.ts';

const { SIGTERM, SIGUSR2, SIGCONT } = constants.signals;

function status(blocked: string, caught: string): string {
  return `Name:\tnode\nSigQ:\t0/7\nSigBlk:\t${blocked}\nSigIgn:\t0000000000004000\nSigCgt:\t${caught}\nCapInh:\t0\n`;
}

function ofThis(signal: number): boolean {
  return hasUseFor(readFileSync('/proc/self/status', 'utf8'), signal);
}

function onSignal(): void {
  // That there is one is enough.
}

describe('hasUseFor()', () => {
  it('is true for a signal that is caught or held back, and no other', () => {
    const none = '0000000000000000';
    expect(hasUseFor(status(none, '0000000000004000'), SIGTERM)).to.equal(true);
    expect(hasUseFor(status('0000000000004000', none), SIGTERM)).to.equal(true);
    expect(hasUseFor(status(none, 'ffffffffffffbfff'), SIGTERM)).to.equal(false);
    expect(hasUseFor(status(none, none), SIGTERM)).to.equal(false);
  });

  it('is false for a process that has no masks any more', () => {
    expect(hasUseFor('Name:\tnode\n', SIGTERM)).to.equal(false);
  });

  it('reads what the kernel says of this process', () => {
    expect(ofThis(SIGUSR2)).to.equal(false);
    process.on('SIGUSR2', onSignal);
    try {
      expect(ofThis(SIGUSR2)).to.equal(true);
      expect(ofThis(SIGCONT)).to.equal(false);
    } finally {
      process.off('SIGUSR2', onSignal);
    }
  });
});
