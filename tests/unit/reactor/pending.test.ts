import { expect } from 'chai';
import { array, assert, constant, nat, oneof, property, record } from 'fast-check';
import { describe, it } from 'mocha';
import { openSocketPair } from '#linux/socket-pair.ts';
import { ByteBudget } from '#reactor/byte-budget.ts';
import { allocateSlab } from '#reactor/memory.ts';
import { PendingBytes } from '#reactor/pending.ts';
import { closeSocket, receiveInto } from '#reactor/socket.ts';

const slab = allocateSlab(1_048_576);

/** Everything that waits to be read from a socket. */
function readAll(fd: number): Buffer {
  const parts: Buffer[] = [];
  for (;;) {
    const received = receiveInto(fd, slab, 0, slab.size);
    if (received <= 0) return Buffer.concat(parts);
    parts.push(Buffer.from(slab.bytes.subarray(0, received)));
  }
}

/** `length` bytes of a sequence that goes on from `from`. */
function sequence(from: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => (from + index) % 251);
}

describe('PendingBytes', () => {
  it('gives out what was put in, in order, whatever the socket takes and wherever it moves', () => {
    const step = oneof(
      { weight: 4, arbitrary: record({ append: nat(70_000) }) },
      { weight: 2, arbitrary: constant('drain' as const) },
      { weight: 2, arbitrary: constant('read' as const) },
      { weight: 1, arbitrary: constant('move' as const) },
    );
    assert(
      property(array(step, { maxLength: 40 }), (steps) => {
        const [near, far] = openSocketPair();
        let pending = new PendingBytes();
        let put = 0;
        const got: Buffer[] = [];
        for (const each of steps) {
          if (each === 'drain') expect(pending.drainTo(near)).to.be.at.least(0);
          else if (each === 'read') got.push(readAll(far));
          else if (each === 'move') pending = PendingBytes.restore(pending.export());
          else {
            // From the middle of something larger.
            const bytes = sequence(put, each.append + 2);
            pending.append(bytes, 1, bytes.length - 1);
            put += each.append;
          }
        }
        const taken = put - pending.length;
        while (pending.length > 0) {
          pending.drainTo(near);
          got.push(readAll(far));
        }
        got.push(readAll(far));
        closeSocket(near);
        closeSocket(far);
        const all = Buffer.concat(got);
        expect(taken).to.be.at.least(0);
        expect(all.length).to.equal(put);
        const wrong = all.findIndex((byte, at) => byte !== (at + 1) % 251);
        expect(wrong).to.equal(-1);
      }),
      { numRuns: 60 },
    );
  });

  it('drainTo() sends nothing to a full socket, and passes an error on', () => {
    const [near, far] = openSocketPair();
    const pending = new PendingBytes();
    pending.append(new Uint8Array(4_000_000), 0, 4_000_000);
    const sent = pending.drainTo(near);
    expect(sent).to.be.within(1, 3_999_999);
    expect(pending.drainTo(near)).to.equal(0);
    expect(pending.length).to.equal(4_000_000 - sent);
    closeSocket(far);
    expect(pending.drainTo(near)).to.be.below(0);
    pending.clear();
    expect(pending.length).to.equal(0);
    expect(pending.export()).to.have.length(0);
    closeSocket(near);
  });

  it('append() does not take a slab for every one of many small pieces', () => {
    const before = process.memoryUsage().arrayBuffers;
    const pending = new PendingBytes();
    for (let count = 0; count < 10_000; count++) pending.append(sequence(count, 1), 0, 1);
    expect(process.memoryUsage().arrayBuffers - before).to.be.below(5_000_000);
    expect(Buffer.from(pending.export())).to.deep.equal(Buffer.from(sequence(0, 10_000)));
  });

  it('counts its memory in a budget, from the first byte to the last', () => {
    const budget = new ByteBudget(1 << 20);
    const pending = new PendingBytes(budget);
    const [near, far] = openSocketPair();
    pending.append(sequence(0, 10), 0, 10);
    expect(budget.bytes).to.equal(pending.heldBytes).and.to.be.at.least(10);
    pending.append(sequence(10, 100_000), 0, 100_000);
    expect(budget.bytes).to.equal(pending.heldBytes).and.to.be.at.least(100_010);
    let read = 0;
    while (pending.length > 0) {
      pending.drainTo(near);
      read += readAll(far).length;
    }
    expect([read, pending.heldBytes, budget.bytes]).to.deep.equal([100_010, 0, 0]);
    const restored = PendingBytes.restore(sequence(0, 20_000), budget);
    expect(budget.bytes).to.equal(restored.heldBytes).and.to.be.at.least(20_000);
    restored.clear();
    expect(budget.bytes).to.equal(0);
    for (const fd of [near, far]) closeSocket(fd);
  });

  it('overflows while its budget is full and it has more than its part of it', () => {
    const budget = new ByteBudget(100_000);
    const [large, small] = [new PendingBytes(budget), new PendingBytes(budget)];
    large.append(sequence(0, 80_000), 0, 80_000);
    expect(large.overflows).to.equal(false);
    small.append(sequence(0, 30_000), 0, 30_000);
    expect([large.overflows, small.overflows]).to.deep.equal([true, false]);
    small.clear();
    expect(large.overflows).to.equal(false);
    large.clear();
  });

  it('overflows never without a budget', () => {
    const pending = new PendingBytes();
    pending.append(sequence(0, 100_000), 0, 100_000);
    expect(pending.overflows).to.equal(false);
  });
});
