import { readFileSync } from 'node:fs';

import { expect } from 'chai';
import { describe, it } from 'mocha';

import { close, SOCK_SEQPACKET } from '#linux/libc.ts';
import { openSocketPair } from '#linux/socket-pair.ts';
import { allocateSlab } from '#reactor/memory.ts';
import { EAGAIN, receiveInto, sendFrom } from '#reactor/socket.ts';

const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;

const slab = allocateSlab(16);

function withPair(type: number | undefined, use: (near: number, far: number) => void): void {
  const [near, far] = openSocketPair(type);
  try {
    use(near, far);
  } finally {
    close(near);
    close(far);
  }
}

describe('openSocketPair()', () => {
  it('connects a stream both ways: what is sent in two parts may be received in one', () => {
    withPair(undefined, (near, far) => {
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        sendFrom(from, slab, 0, 3);
        sendFrom(from, slab, 0, 4);
        expect(receiveInto(to, slab, 0, slab.size)).to.equal(7);
        expect(receiveInto(to, slab, 0, slab.size)).to.equal(-EAGAIN);
      }
    });
  });

  it('keeps packets apart when the type says so', () => {
    withPair(SOCK_SEQPACKET, (near, far) => {
      sendFrom(near, slab, 0, 3);
      sendFrom(near, slab, 0, 4);
      expect(receiveInto(far, slab, 0, slab.size)).to.equal(3);
      expect(receiveInto(far, slab, 0, slab.size)).to.equal(4);
    });
  });

  it('gives descriptors that never block, and that no program started by us inherits', () => {
    withPair(undefined, (...pair) => {
      for (const fd of pair) {
        const flags = /^flags:\s+([0-7]+)$/m.exec(
          readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'),
        )?.[1];
        expect(Number.parseInt(flags ?? '', 8) & (O_NONBLOCK | O_CLOEXEC)).to.equal(
          O_NONBLOCK | O_CLOEXEC,
        );
      }
    });
  });
});
