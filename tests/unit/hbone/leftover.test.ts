import { createHash, randomBytes } from 'node:crypto';

import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';

import { Leftover } from '#hbone/leftover.ts';
import type { StreamEnd } from '#hbone/stream-end.ts';
import { openSocketPair } from '#linux/socket-pair.ts';
import type { Loop } from '#reactor/loop.ts';
import { allocateSlab } from '#reactor/memory.ts';
import { PendingBytes } from '#reactor/pending.ts';
import { closeSocket, EAGAIN, errnoName, receiveInto } from '#reactor/socket.ts';
import { openThreadLoop } from '#reactor/thread-loop.ts';
import { openDescriptors } from '#tests/support/descriptors.ts';
import { passedDescriptor } from '#tests/support/tls-sockets.ts';

/** More than a socket pair holds. */
const BYTES = 1_000_000;
const STALL_MS = 60_000;

describe('Leftover', () => {
  const slab = allocateSlab(65_536);
  let opened: number;
  let loop: Loop;
  let reader: number;
  let given: number;
  let ends: StreamEnd[];
  const observer = { onRelayEnd: (end: StreamEnd) => ends.push(end) };
  const bytes = randomBytes(BYTES);

  beforeEach(async () => {
    opened = openDescriptors().size;
    // It never turns: a test says what happens, and what time it is.
    loop = await openThreadLoop();
    [reader, given] = openSocketPair();
    ends = [];
  });

  afterEach(() => {
    closeSocket(reader);
    loop.stop();
    expect(openDescriptors().size).to.equal(opened);
    expect(loop.timers.size).to.equal(0);
  });

  function leftover(): Leftover {
    const pending = new PendingBytes();
    pending.append(bytes, 0, bytes.length);
    const rest = new Leftover(loop, given, { pending, toTunnel: 3, fromTunnel: BYTES }, observer);
    rest.start();
    return rest;
  }

  /** Reads what is there: 'all', 'nothing more yet', or the name of an error. */
  function read(into = createHash('sha256')): string {
    for (;;) {
      const length = receiveInto(reader, slab, 0, slab.size);
      if (length === 0) return 'all';
      if (length === -EAGAIN) return 'nothing more yet';
      if (length < 0) return errnoName(length);
      into.update(slab.bytes.subarray(0, length));
    }
  }

  function pass(ms: number): void {
    loop.nowMs += ms;
    loop.timers.advance(loop.nowMs, (_timer, error) => {
      throw error;
    });
  }

  const digest = createHash('sha256').update(bytes).digest('hex');

  it('gives the application every byte as it reads, then the end', () => {
    const rest = leftover();
    const heard = createHash('sha256');
    while (ends.length === 0) {
      rest.onEvents();
      read(heard);
    }
    expect(read(heard)).to.equal('all');
    expect(heard.digest('hex')).to.equal(digest);
    expect(ends).to.deep.equal([{ kind: 'complete' }]);
  });

  it('resets an application that reads nothing for a minute, and tells why', () => {
    const rest = leftover();
    rest.onEvents();
    pass(STALL_MS - 1_000);
    expect(ends).to.deep.equal([]);
    // Nothing was taken: it is not a reason to wait longer.
    rest.onEvents();
    pass(1_100);
    const reason = "application read nothing for 60 s after the tunnel's end";
    expect(ends).to.deep.equal([{ kind: 'failed', stage: 'tunnel', reason }]);
  });

  it('gives it a minute again with every byte', () => {
    const rest = leftover();
    rest.onEvents();
    pass(STALL_MS - 1_000);
    expect(read()).to.equal('nothing more yet');
    rest.onEvents();
    pass(STALL_MS - 1_000);
    expect(ends).to.deep.equal([]);
    rest.abort();
  });

  it('says so when the application has gone', () => {
    const rest = leftover();
    closeSocket(reader);
    rest.onEvents();
    const closedBy = 'application reset (EPIPE)';
    expect(ends).to.deep.equal([{ kind: 'complete', closedBy }]);
    [reader] = openSocketPair().map((fd, index) => (index === 0 ? fd : closeSocket(fd))) as [
      number,
    ];
  });

  it('is cut without a word to its observer', () => {
    const rest = leftover();
    rest.abort();
    rest.abort();
    expect(read()).to.be.oneOf(['all', 'ECONNRESET']);
    expect(ends).to.deep.equal([]);
  });

  it('moves, and the application gets every byte', () => {
    const former = leftover();
    const heard = createHash('sha256');
    former.onEvents();
    read(heard);
    former.freeze();
    expect(loop.timers.size).to.equal(0);
    const state = structuredClone(former.export());
    const fd = passedDescriptor(former.fd);
    former.release();
    expect(read(heard)).to.equal('nothing more yet');
    const rest = Leftover.restore(loop, state, fd, observer);
    rest.start();
    expect(rest).to.include({ toTunnel: 3, fromTunnel: BYTES });
    while (ends.length === 0) {
      rest.onEvents();
      read(heard);
    }
    expect(read(heard)).to.equal('all');
    expect(heard.digest('hex')).to.equal(digest);
    expect(ends).to.deep.equal([{ kind: 'complete' }]);
  });
});
