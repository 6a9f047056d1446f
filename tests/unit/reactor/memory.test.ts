import { expect } from 'chai';
import { describe, it } from 'mocha';
import { close } from '#linux/libc.ts';
import { openSocketPair } from '#linux/socket-pair.ts';
import { addressOf, allocateSlab, SlabPool, wipe } from '#reactor/memory.ts';
import { receiveInto, sendFrom } from '#reactor/socket.ts';

describe('addressOf()', () => {
  const slab = allocateSlab(100);

  it('is the address of the byte at which a range starts', () => {
    expect(addressOf(slab, 0, 100)).to.equal(slab.address);
    expect(addressOf(slab, 40, 60)).to.equal(slab.address + 40);
    expect(addressOf(slab, 100, 0)).to.equal(slab.address + 100);
  });

  for (const [start, length] of [
    [0, 101],
    [100, 1],
    [-1, 1],
    [0, -1],
    [50, -60],
    [Number.NaN, 1],
    [0, Number.NaN],
    [Number.POSITIVE_INFINITY, 0],
    [1e300, 1],
  ] as const) {
    it(`refuses the range ${start}+${length} of 100 bytes`, () => {
      expect(() => addressOf(slab, start, length)).to.throw(RangeError, 'outside a slab of 100');
    });
  }
});

describe('allocateSlab()', () => {
  it('gives zeroed bytes at an address that the kernel reads from and writes to', () => {
    const slab = allocateSlab(64);
    expect(slab.bytes.every((byte) => byte === 0)).to.equal(true);
    slab.bytes.write('there and back', 3);
    const [one, other] = openSocketPair();
    expect(sendFrom(one, slab, 3, 14)).to.equal(14);
    expect(receiveInto(other, slab, 40, 24)).to.equal(14);
    expect(slab.bytes.toString('latin1', 40, 54)).to.equal('there and back');
    close(one);
    close(other);
  });

  it('refuses a size that is none', () => {
    for (const size of [0, -1, 1.5, Number.NaN]) {
      expect(() => allocateSlab(size)).to.throw('a slab of');
    }
  });
});

describe('wipe()', () => {
  it('leaves nothing', () => {
    const slab = allocateSlab(32);
    slab.bytes.fill(7);
    wipe(slab);
    expect(slab.bytes.every((byte) => byte === 0)).to.equal(true);
  });
});

describe('SlabPool', () => {
  it('gives a slab again that was given back, and keeps no more than it may', () => {
    const pool = new SlabPool(16, 1);
    const [first, second] = [pool.acquire(), pool.acquire()];
    pool.release(first);
    pool.release(second);
    expect(pool.acquire()).to.equal(first);
    expect(pool.acquire()).to.not.equal(second);
  });

  it('refuses a slab that was given back already, or comes from elsewhere', () => {
    const pool = new SlabPool(16, 4);
    const slab = pool.acquire();
    pool.release(slab);
    expect(() => pool.release(slab)).to.throw('given back once');
    expect(() => pool.release(allocateSlab(17))).to.throw('the pool that it came from');
  });
});
