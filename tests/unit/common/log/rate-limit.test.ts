import { expect } from 'chai';
import { beforeEach, describe, it } from 'mocha';

import { RateLimitedLines, REPEAT_INTERVAL_MS } from '#common/log/rate-limit.ts';

describe('RateLimitedLines', () => {
  let written: string[];
  let lines: RateLimitedLines;

  beforeEach(() => {
    written = [];
    lines = new RateLimitedLines((line) => written.push(line));
  });

  it('write() lets one line per kind through, and tells how many it held back with the next', () => {
    for (let atMs = 0; atMs < REPEAT_INTERVAL_MS; atMs++) lines.write('flood', 'too many', atMs);
    expect(written).to.deep.equal(['too many']);
    lines.write('flood', 'too many', REPEAT_INTERVAL_MS);
    expect(written[1]).to.equal(
      `too many (and ${REPEAT_INTERVAL_MS - 1} times since this was last said)`,
    );
  });

  it('write() holds nothing back of what is rare, nor of another kind', () => {
    lines.write('one', 'a', 0);
    lines.write('other', 'b', 0);
    lines.write('one', 'c', REPEAT_INTERVAL_MS);
    lines.write('one', 'd', 3 * REPEAT_INTERVAL_MS);
    expect(written).to.deep.equal(['a', 'b', 'c', 'd']);
  });
});
