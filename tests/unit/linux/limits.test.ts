import { spawnSync } from 'node:child_process';

import { expect } from 'chai';
import { describe, it } from 'mocha';

import { close } from '#linux/libc.ts';
import { countOpenFiles, openFilesLimit, raiseOpenFilesLimit } from '#linux/limits.ts';
import { openSocketPair } from '#linux/socket-pair.ts';

describe('raiseOpenFilesLimit()', () => {
  it('raises what is in force to what is allowed', () => {
    // A process of its own: the limit is lowered in it first.
    const program = `
      import { setrlimit } from '#linux/libc.ts';
      import { openFilesLimit, raiseOpenFilesLimit } from '#linux/limits.ts';
      const limits = Buffer.alloc(16);
      limits.writeBigUInt64LE(100n, 0);
      limits.writeBigUInt64LE(5000n, 8);
      setrlimit(7, limits);
      const before = openFilesLimit();
      console.log(JSON.stringify([before, raiseOpenFilesLimit(), openFilesLimit()]));`;
    const { stdout, stderr } = spawnSync(
      process.execPath,
      ['--input-type=module-typescript', '-e', program],
      { encoding: 'utf8' },
    );
    expect(stderr).to.equal('');
    expect(JSON.parse(stdout)).to.deep.equal([
      { soft: 100, hard: 5_000 },
      { soft: 5_000, hard: 5_000 },
      { soft: 5_000, hard: 5_000 },
    ]);
  });

  it('is content when there is nothing to raise', () => {
    const { hard } = openFilesLimit();
    expect(raiseOpenFilesLimit()).to.deep.equal({ soft: hard, hard });
  });
});

describe('countOpenFiles()', () => {
  it('counts what is opened and closed', () => {
    const before = countOpenFiles();
    const pair = openSocketPair();
    expect(countOpenFiles()).to.equal(before + 2);
    for (const fd of pair) close(fd);
    expect(countOpenFiles()).to.equal(before);
  });
});
