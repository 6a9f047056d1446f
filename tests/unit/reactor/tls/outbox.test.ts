import { randomBytes } from 'node:crypto';

import { expect } from 'chai';
import { describe, it } from 'mocha';

import { openSocketPair } from '#linux/socket-pair.ts';
import { allocateSlab, type Slab, SlabPool } from '#reactor/memory.ts';
import { closeSocket, receiveInto } from '#reactor/socket.ts';
import { Outbox } from '#reactor/tls/outbox.ts';

describe('Outbox', () => {
  const sink = allocateSlab(1 << 20);

  /** Everything that has arrived. */
  function drain(fd: number): Buffer {
    const parts: Buffer[] = [];
    for (;;) {
      const received = receiveInto(fd, sink, 0, sink.size);
      if (received <= 0) return Buffer.concat(parts);
      parts.push(Buffer.from(sink.bytes.subarray(0, received)));
    }
  }

  it('send() keeps what the socket does not take, and flush() sends it in order', () => {
    const [here, there] = openSocketPair();
    const outbox = new Outbox(here, new SlabPool(4_096, 4));
    const bytes = randomBytes(3 << 20);
    const slab = filled(bytes);
    for (let at = 0; at < bytes.length; at += 1 << 20) outbox.send(slab, at, at + (1 << 20));
    expect(outbox.waitingBytes).to.be.greaterThan(0);
    const arrived: Buffer[] = [];
    do arrived.push(drain(there));
    while (!outbox.flush());
    arrived.push(drain(there));
    expect(Buffer.concat(arrived).equals(bytes)).to.equal(true);
    closeSocket(here);
    closeSocket(there);
  });

  it('send() sends nothing while it is held', () => {
    const [here, there] = openSocketPair();
    const outbox = new Outbox(here, new SlabPool(64, 4));
    outbox.held = true;
    outbox.send(filled(Buffer.from('a secret flight')), 0, 15);
    expect(outbox.flush()).to.equal(false);
    expect(drain(there).length).to.equal(0);
    outbox.held = false;
    expect(outbox.flush()).to.equal(true);
    expect(drain(there).toString()).to.equal('a secret flight');
    closeSocket(here);
    closeSocket(there);
  });

  it('flush() gives each slab back once when the socket fails on the way', () => {
    const [here, there] = openSocketPair();
    const pool = new SlabPool(4_096, 1_000);
    const outbox = new Outbox(here, pool);
    const bytes = randomBytes(1 << 20);
    outbox.send(filled(bytes), 0, bytes.length);
    drain(there);
    outbox.flush();
    closeSocket(there);
    expect(outbox.flush()).to.equal(true);
    expect(outbox.failure).to.be.lessThan(0);
    const taken = Array.from({ length: 300 }, () => pool.acquire());
    expect(new Set(taken).size).to.equal(taken.length);
    closeSocket(here);
  });

  it('keep() drops everything beyond its limit and says so', () => {
    const [here, there] = openSocketPair();
    const outbox = new Outbox(here, new SlabPool(65_536, 4));
    outbox.held = true;
    const bytes = Buffer.alloc(1 << 20);
    for (let count = 0; count < 4; count++) outbox.keep(bytes, 0, bytes.length);
    expect(outbox.overflown).to.equal(false);
    outbox.keep(bytes, 0, 1);
    expect(outbox.overflown).to.equal(true);
    expect(outbox.waitingBytes).to.equal(0);
    closeSocket(here);
    closeSocket(there);
  });

  it('export() copies what waits, and a new one goes on with it', () => {
    const [here, there] = openSocketPair();
    const outbox = new Outbox(here, new SlabPool(64, 4));
    outbox.held = true;
    const bytes = randomBytes(1_000);
    outbox.keep(bytes, 0, bytes.length);
    const next = new Outbox(here, new SlabPool(64, 4));
    const waiting = outbox.export();
    next.keep(waiting, 0, waiting.length);
    expect(next.flush()).to.equal(true);
    expect(drain(there).equals(bytes)).to.equal(true);
    closeSocket(here);
    closeSocket(there);
  });
});

function filled(bytes: Buffer): Slab {
  const slab = allocateSlab(bytes.length);
  bytes.copy(slab.bytes);
  return slab;
}
