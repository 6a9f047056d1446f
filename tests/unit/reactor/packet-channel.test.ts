import { expect } from 'chai';
import { after, afterEach, before, beforeEach, describe, it } from 'mocha';

import { SOCK_SEQPACKET } from '#linux/libc.ts';
import { sendPacket } from '#linux/seqpacket.ts';
import { openSocketPair } from '#linux/socket-pair.ts';
import type { Loop } from '#reactor/loop.ts';
import { ChannelError, PACKET_BYTES_MAX, PacketChannel } from '#reactor/packet-channel.ts';
import { closeSocket } from '#reactor/socket.ts';
import { openThreadLoop } from '#reactor/thread-loop.ts';
import { openDescriptors } from '#tests/support/descriptors.ts';

const soon = (ms = 2_000): number => performance.now() + ms;
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

async function failureOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    expect(error).to.be.instanceOf(ChannelError);
    return (error as ChannelError).message;
  }
  throw new Error('It did not fail');
}

describe('PacketChannel', () => {
  let loop: Loop;
  let near: PacketChannel;
  let far: PacketChannel;
  let opened: number;

  before(async () => {
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

  it('receive() gives packets in order, sent before or while it waits', async () => {
    await near.send(Buffer.from('one'), [], soon());
    await near.send(Buffer.from('two'), [], soon());
    expect(text((await far.receive(soon())).bytes)).to.equal('one');
    expect(text((await far.receive(soon())).bytes)).to.equal('two');
    const waiting = far.receive(soon());
    await near.send(Buffer.from('three'), [], soon());
    expect(text((await waiting).bytes)).to.equal('three');
  });

  it('send() waits while the queue of the peer is full, and goes on', async () => {
    const count = 500;
    const sending = (async (): Promise<void> => {
      for (let index = 0; index < count; index++) {
        await near.send(Buffer.from(`${index}`), [far.fd], soon());
      }
    })();
    for (let index = 0; index < count; index++) {
      const { bytes, fds } = await far.receive(soon());
      expect(text(bytes)).to.equal(`${index}`);
      expect(fds).to.have.length(1);
      for (const fd of fds) closeSocket(fd);
    }
    await sending;
  });

  it('gives up at the deadline, in both directions', async () => {
    expect(await failureOf(far.receive(soon(30)))).to.equal('no answer in time');
    let sent = 0;
    const filling = async (): Promise<void> => {
      for (;;) {
        await near.send(Buffer.alloc(1_000), [], soon(30));
        sent++;
      }
    };
    expect(await failureOf(filling())).to.equal('no answer in time');
    expect(sent).to.be.greaterThan(0);
    // Nothing of the wait is left behind: the channel still works.
    expect((await far.receive(soon())).bytes).to.have.length(1_000);
  });

  it('receive() gives what came before the deadline even when it is asked late', async () => {
    await near.send(Buffer.from('early'), [], soon());
    expect(text((await far.receive(soon(-1_000))).bytes)).to.equal('early');
  });

  it('receive() tells the end, and a packet that is too large', async () => {
    sendPacket(near.fd, Buffer.alloc(PACKET_BYTES_MAX + 1), [near.fd]);
    expect(await failureOf(far.receive(soon()))).to.include('larger than expected');
    const waiting = failureOf(far.receive(soon()));
    near.close();
    expect(await waiting).to.include('closed');
    expect(await failureOf(far.send(Buffer.from('x'), [], soon()))).to.include('EPIPE');
  });

  it('close() wakes whoever waits', async () => {
    const waiting = failureOf(far.receive(soon()));
    far.close();
    expect(await waiting).to.equal('the connection is closed');
    expect(await failureOf(far.send(Buffer.from('x'), [], soon()))).to.include('closed');
  });

  it('refuseMore() keeps what has come, and lets nothing come any more', async () => {
    await near.send(Buffer.from('before'), [], soon());
    far.refuseMore();
    expect(await failureOf(near.send(Buffer.from('after'), [], soon()))).to.include('EPIPE');
    expect(text((await far.receive(soon())).bytes)).to.equal('before');
    expect(await failureOf(far.receive(soon()))).to.include('closed');
    // The other direction is as it was.
    await far.send(Buffer.from('back'), [], soon());
    expect(text((await near.receive(soon())).bytes)).to.equal('back');
  });
});
