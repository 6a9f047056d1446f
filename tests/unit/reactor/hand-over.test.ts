import { randomBytes } from 'node:crypto';
import { serialize } from 'node:v8';

import { expect } from 'chai';
import { after, afterEach, before, beforeEach, describe, it } from 'mocha';

import { SOCK_SEQPACKET } from '#linux/libc.ts';
import { raiseOpenFilesLimit } from '#linux/limits.ts';
import { createMemfd, readMemfd } from '#linux/memfd.ts';
import { openSocketPair } from '#linux/socket-pair.ts';
import { receiveState, sendState } from '#reactor/hand-over.ts';
import type { Loop } from '#reactor/loop.ts';
import { ChannelError, PacketChannel } from '#reactor/packet-channel.ts';
import { closeSocket } from '#reactor/socket.ts';
import { openThreadLoop } from '#reactor/thread-loop.ts';
import { openDescriptors } from '#tests/support/descriptors.ts';

const soon = (): number => performance.now() + 5_000;

const files = (count: number): number[] =>
  Array.from({ length: count }, (_, index) => createMemfd('numbered', Buffer.from(`${index}`)));

describe('sendState() and receiveState()', () => {
  let loop: Loop;
  let near: PacketChannel;
  let far: PacketChannel;
  let opened: number;

  before(async () => {
    raiseOpenFilesLimit();
    loop = await openThreadLoop();
    loop.start();
  });
  after(() => loop.stop());

  beforeEach(() => {
    opened = openDescriptors().size;
    const [one, other] = openSocketPair(SOCK_SEQPACKET);
    near = new PacketChannel(loop, one);
    far = new PacketChannel(loop, other);
  });

  afterEach(() => {
    near.close();
    far.close();
    expect(openDescriptors().size).to.equal(opened);
  });

  for (const count of [0, 1, 253, 254, 1_000]) {
    it(`move ${count} descriptors, in order`, async () => {
      const descriptors = files(count);
      const sending = sendState(near, { count }, descriptors, soon());
      const received = await receiveState(far, soon());
      await sending;
      for (const fd of descriptors) closeSocket(fd);
      expect(received.state).to.deep.equal({ count });
      const numbers = received.descriptors.map((fd) =>
        Number(Buffer.from(readMemfd(fd, 10) as Uint8Array).toString()),
      );
      for (const fd of received.descriptors) closeSocket(fd);
      expect(numbers).to.deep.equal(descriptors.map((_, index) => index));
    });
  }

  it('move a state of 50 MB, and leave nothing of it after wipe()', async () => {
    const block = randomBytes(5_000_000);
    const state = Array.from({ length: 10 }, (_, index) => ({
      index,
      bytes: new Uint8Array(block),
    }));
    const sending = sendState(near, state, [], soon());
    const received = await receiveState(far, soon());
    await sending;
    const got = received.state as typeof state;
    expect(got.map(({ index }) => index)).to.deep.equal(state.map(({ index }) => index));
    expect(got.every(({ bytes }) => block.equals(bytes))).to.equal(true);
    received.wipe();
    expect(got.every(({ bytes }) => Buffer.alloc(bytes.length).equals(bytes))).to.equal(true);
  });

  const unreadable: Readonly<Record<string, () => [object | string, number[]]>> = {
    'no file': () => [{ bytes: 1, descriptors: 0 }, []],
    'two files': () => [{ bytes: 1, descriptors: 0 }, files(2)],
    'text that is not a header': () => ['bytes', files(1)],
    'a header without numbers': () => [{ bytes: '1', descriptors: null }, files(1)],
    'a negative length': () => [{ bytes: -1, descriptors: 0 }, files(1)],
    'more bytes than are believed': () => [{ bytes: 2 ** 40, descriptors: 0 }, files(1)],
    'more descriptors than are believed': () => [{ bytes: 1, descriptors: 2 ** 30 }, files(1)],
    'a file that is longer': () => [
      { bytes: 1, descriptors: 0 },
      [createMemfd('long', Buffer.alloc(2))],
    ],
    'a file that is shorter': () => [{ bytes: 2, descriptors: 0 }, files(1)],
  };
  for (const [what, make] of Object.entries(unreadable)) {
    it(`receiveState() refuses ${what}, and keeps nothing`, async () => {
      const [header, fds] = make();
      const text = typeof header === 'string' ? header : JSON.stringify(header);
      await near.send(Buffer.from(text), fds, soon());
      for (const fd of fds) closeSocket(fd);
      const answer = await receiveState(far, soon()).catch((error: unknown) => error);
      expect(answer).to.be.instanceOf(ChannelError);
    });
  }

  it('receiveState() refuses bytes that are not a state, too many and missing descriptors', async () => {
    const cases: readonly [number, number[]][] = [
      [1, [2]],
      [1, [0]],
      [3, [1, 0]],
    ];
    for (const [announced, packets] of cases) {
      const bytes = serialize({});
      const file = createMemfd('state', bytes);
      const header = { bytes: bytes.length, descriptors: announced };
      await near.send(Buffer.from(JSON.stringify(header)), [file], soon());
      closeSocket(file);
      for (const count of packets) {
        const fds = files(count);
        await near.send(Buffer.from('+'), fds, soon());
        for (const fd of fds) closeSocket(fd);
      }
      const answer = await receiveState(far, soon()).catch((error: unknown) => error);
      expect(answer).to.be.instanceOf(ChannelError);
    }
    const rubbish = createMemfd('state', Buffer.from('rubbish'));
    await near.send(Buffer.from(JSON.stringify({ bytes: 7, descriptors: 0 })), [rubbish], soon());
    closeSocket(rubbish);
    const answer = await receiveState(far, soon()).catch((error: unknown) => error);
    expect(answer).to.be.instanceOf(ChannelError);
  });

  it('sendState() closes its file when the peer is gone', async () => {
    far.close();
    const answer = await sendState(near, {}, [near.fd], soon()).catch((error: unknown) => error);
    expect(answer).to.be.instanceOf(ChannelError);
  });
});
