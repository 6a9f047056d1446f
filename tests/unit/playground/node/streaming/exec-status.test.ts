import { expect } from 'chai';
import { describe, it } from 'mocha';

import { exitStatus, readSize } from '#playground/node/streaming/exec-status.ts';

describe('exitStatus()', () => {
  it('tells clients the exit code where they look for it', () => {
    expect(JSON.parse(exitStatus(0))).to.deep.equal({ metadata: {}, status: 'Success' });
    expect(JSON.parse(exitStatus(3))).to.deep.include({
      status: 'Failure',
      reason: 'NonZeroExitCode',
      details: { causes: [{ reason: 'ExitCode', message: '3' }] },
    });
  });
});

describe('readSize()', () => {
  it('reads the size of a terminal, and nothing else', () => {
    expect(readSize('{"Width":80,"Height":24}\n')).to.deep.equal({ columns: 80, rows: 24 });
    for (const text of ['', '{', '{}', '{"Width":"80","Height":24}']) {
      expect(readSize(text), text).to.equal(undefined);
    }
  });
});
