import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';

import { expect } from 'chai';
import { describe, it } from 'mocha';

import { close, memfdCreate } from '#linux/libc.ts';
import { createMemfd, readMemfd } from '#linux/memfd.ts';
import { expectNoLeak } from '#tests/support/descriptors.ts';

describe('createMemfd() and readMemfd()', () => {
  for (const size of [0, 1, 5_000_000]) {
    it(`carry ${size} bytes`, () => {
      expectNoLeak(() => {
        const bytes = Uint8Array.from({ length: size }, (_, index) => index & 0xff);
        const fd = createMemfd('state', bytes);
        const read = readMemfd(fd, size);
        expect(typeof read).to.equal('object');
        expect(Buffer.compare(Buffer.from(read as Uint8Array), Buffer.from(bytes))).to.equal(0);
        expect(readFileSync(`/proc/self/fd/${fd}`).length, 'through another opening').to.equal(
          size,
        );
        close(fd);
      });
    });
  }

  it('carry what nobody can change any more', () => {
    const fd = createMemfd('state', Buffer.from('fixed'));
    expect(() => writeSync(fd, 'other')).to.throw('EPERM');
    const reopened = openSync(`/proc/self/fd/${fd}`, 'r+');
    expect(() => writeSync(reopened, 'other')).to.throw('EPERM');
    closeSync(reopened);
    expect(Buffer.from(readMemfd(fd, 100) as Uint8Array).toString()).to.equal('fixed');
    close(fd);
  });
});

describe('readMemfd()', () => {
  it('refuses more bytes than wanted', () => {
    const fd = createMemfd('state', new Uint8Array(101));
    expect(readMemfd(fd, 100)).to.include('it has 101 bytes, want 100');
    close(fd);
  });

  it('refuses a file that its sender could still change', () => {
    const fd = memfdCreate('state', 3);
    writeSync(fd, 'loose');
    expect(readMemfd(fd, 100)).to.include('it is not sealed');
    close(fd);
  });

  it('refuses what is no memory file', () => {
    const file = openSync('/proc/self/status', 'r');
    expect(readMemfd(file, 100)).to.include('EINVAL');
    closeSync(file);
    expect(readMemfd(9_999, 100)).to.include('EBADF');
  });
});
