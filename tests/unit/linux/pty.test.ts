import { spawnSync } from 'node:child_process';
import { closeSync, readSync } from 'node:fs';

import { expect } from 'chai';
import { describe, it } from 'mocha';

import { openPty, resizePty } from '#linux/pty.ts';

describe('openPty()', () => {
  it('gives a program a terminal, of the size that resizePty() says', () => {
    const { master, slave } = openPty('/dev/ptmx', '/dev/pts');
    resizePty(master, 101, 29);
    const { status } = spawnSync('stty', ['size'], { stdio: [slave, slave, slave] });
    const said = Buffer.alloc(64);
    const length = readSync(master, said);
    closeSync(slave);
    closeSync(master);
    expect(said.toString('utf8', 0, length)).to.equal('29 101\r\n');
    expect(status).to.equal(0);
  });

  it('says when there is no terminal to be had', () => {
    expect(() => openPty('/dev/null', '/dev/pts')).to.throw(
      'Cannot unlock a pseudo-terminal: ENOTTY',
    );
    expect(() => openPty('/nowhere/ptmx', '/nowhere')).to.throw('ENOENT');
  });
});
