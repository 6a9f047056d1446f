import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { serialize } from 'node:v8';

import { expect } from 'chai';
import { after, afterEach, before, beforeEach, describe, it } from 'mocha';

import { createMemfd } from '#linux/memfd.ts';
import { connectSeqpacket } from '#linux/seqpacket.ts';
import { openSocketPair } from '#linux/socket-pair.ts';
import { receiveState, sendState } from '#reactor/hand-over.ts';
import type { Loop } from '#reactor/loop.ts';
import { ChannelError, PacketChannel } from '#reactor/packet-channel.ts';
import { closeSocket } from '#reactor/socket.ts';
import { openThreadLoop } from '#reactor/thread-loop.ts';
import { openDescriptors } from '#tests/support/descriptors.ts';
import { SeqpacketServer } from '#tests/support/seqpacket-peer.ts';
import {
  type Giver,
  HAND_OVER_VERSION,
  type Handed,
  HandOverServer,
  type TakeOver,
  takeOver,
} from '#ztunnel/hand-over.ts';

const IN_TIME_MS = 2_000;
const soon = (): number => performance.now() + IN_TIME_MS;

/** Notes what it is told, and answers with one state and two descriptors. */
class RecordingGiver implements Giver {
  readonly calls: string[] = [];
  readonly handed: Handed;
  earlyState: unknown = 'early';
  freezing: () => Promise<void> = async () => undefined;

  constructor(descriptors: readonly number[]) {
    this.handed = { state: { secret: new Uint8Array([1, 2, 3]), descriptors }, descriptors };
  }

  early(): unknown {
    return this.earlyState;
  }

  async freeze(): Promise<Handed> {
    this.calls.push('freeze');
    await this.freezing();
    return this.handed;
  }

  refused(_successorPid: number, reason: string): void {
    this.calls.push(`refused: ${reason}`);
  }

  prepareToGo(): void {
    this.calls.push('prepare');
  }

  thaw(): void {
    this.calls.push('thaw');
  }

  async released(pid: number): Promise<void> {
    this.calls.push(`released to ${pid === process.pid ? 'us' : pid}`);
  }
}

/** A successor that says what a test wants. */
class Caller {
  readonly channel: PacketChannel;

  constructor(loop: Loop, path: string) {
    const opened = connectSeqpacket(path);
    if (!('fd' in opened)) throw new Error(opened.call);
    this.channel = new PacketChannel(loop, opened.fd);
  }

  async say(message: object | string): Promise<void> {
    const text = typeof message === 'string' ? message : JSON.stringify(message);
    await this.channel.send(Buffer.from(text), [], soon());
  }

  async hear(): Promise<unknown> {
    const { bytes, fds } = await this.channel.receive(performance.now() + 5_000);
    for (const fd of fds) closeSocket(fd);
    return JSON.parse(Buffer.from(bytes).toString()) as unknown;
  }

  async mustHear(kind: string): Promise<void> {
    expect(await this.hear()).to.deep.equal({ kind });
  }

  /** The next packet, or `end`. */
  async hearOrEnd(): Promise<unknown> {
    try {
      return await this.hear();
    } catch {
      return 'end';
    }
  }

  async takeState(): Promise<void> {
    const { descriptors } = await receiveState(this.channel, soon());
    for (const fd of descriptors) closeSocket(fd);
  }
}

/** What a successor says and hears, in order; a conversation may stop before each step. */
const conversation: readonly [string, (caller: Caller) => Promise<void>][] = [
  ['hello', (caller) => caller.say({ kind: 'hello', version: HAND_OVER_VERSION })],
  ['welcome', (caller) => caller.mustHear('welcome')],
  ['what it can tell early', (caller) => caller.takeState()],
  ['request', (caller) => caller.say({ kind: 'request' })],
  ['the state', (caller) => caller.takeState()],
  ['adopted', (caller) => caller.say({ kind: 'adopted' })],
  ['go', (caller) => caller.mustHear('go')],
];

async function converse(caller: Caller, steps: number): Promise<void> {
  for (const [, step] of conversation.slice(0, steps)) await step(caller);
}

const takeEarly = async (): Promise<void> => undefined;

/** What a predecessor says, when a test speaks for it. */
const say = (channel: PacketChannel, message: object): Promise<void> =>
  channel.send(Buffer.from(JSON.stringify(message)), [], soon());

async function welcome(channel: PacketChannel): Promise<void> {
  await channel.receive(soon());
  await say(channel, { kind: 'welcome' });
  await sendState(channel, 'early', [], soon());
  await channel.receive(soon());
}

async function until(happened: () => boolean): Promise<void> {
  const giveUpMs = soon();
  while (!happened()) {
    if (performance.now() > giveUpMs) throw new Error('It did not happen in time');
    await nextTurn();
  }
}

async function failure(work: Promise<unknown>): Promise<unknown> {
  try {
    await work;
  } catch (error) {
    return error;
  }
  throw new Error('It did not fail');
}

describe('a hand-over', () => {
  let loop: Loop;
  let directory: string;
  let path: string;
  let pair: readonly [number, number];
  let giver: RecordingGiver;
  let opened: ReadonlyMap<number, string>;
  const closers: (() => void)[] = [];
  let names = 0;

  before(async () => {
    loop = await openThreadLoop();
    loop.onFault = (error) => {
      throw error;
    };
    loop.start();
    directory = mkdtempSync(join(tmpdir(), 'ambit-hand-over-'));
  });

  after(() => {
    loop.stop();
    rmSync(directory, { recursive: true });
  });

  beforeEach(() => {
    opened = openDescriptors();
    path = join(directory, `${++names}.sock`);
    pair = openSocketPair();
    giver = new RecordingGiver(pair);
  });

  afterEach(async () => {
    for (const close of closers.splice(0)) close();
    for (const fd of pair) closeSocket(fd);
    await until(() => openDescriptors().size <= opened.size).catch(() => undefined);
    const left = [...openDescriptors()].filter(([fd]) => !opened.has(fd));
    expect(left, 'descriptors left open').to.deep.equal([]);
  });

  const serve = (by: Giver = giver, at: string = path): HandOverServer => {
    const server = HandOverServer.listen(loop, at, by);
    if (typeof server === 'string') throw new Error(server);
    closers.push(() => server.close());
    return server;
  };

  const call = (at: string = path): Caller => {
    const caller = new Caller(loop, at);
    closers.push(() => caller.channel.close());
    return caller;
  };

  const take = async (): Promise<TakeOver & { readonly kind: 'taken' }> => {
    const taken = await takeOver(loop, path, takeEarly);
    if (taken.kind !== 'taken') throw new Error(`It was ${taken.kind}`);
    closers.push(() => taken.handed.descriptors.map((fd) => closeSocket(fd)));
    return taken;
  };

  /** Listens, speaks for a predecessor until `speak` has ended, and hangs up. */
  const predecessor = async (speak: (channel: PacketChannel) => Promise<void>): Promise<void> => {
    const server = new SeqpacketServer(path, loop);
    const peer = await server.accept();
    loop.remove(peer);
    const channel = new PacketChannel(loop, peer.fd);
    try {
      await speak(channel);
    } finally {
      channel.close();
      server.close();
    }
  };

  const sendAll = async (channel: PacketChannel): Promise<void> => {
    await welcome(channel);
    await sendState(channel, { some: 'state' }, pair, soon());
    await channel.receive(soon());
  };

  it('leaves no socket behind that looks like a predecessor, and leaves that of another process', () => {
    serve().close();
    expect(existsSync(path)).to.equal(false);
    const first = serve();
    rmSync(path);
    serve();
    first.close();
    expect(existsSync(path)).to.equal(true);
  });

  describe('that succeeds', () => {
    it('gives the state and working descriptors, and releases once', async () => {
      serve();
      const { handed, taken } = await take();
      expect(handed.state).to.deep.equal(giver.handed.state);
      expect(handed.descriptors.map((fd) => openDescriptors().get(fd))).to.deep.equal(
        pair.map((fd) => openDescriptors().get(fd)),
      );
      expect(giver.calls).to.deep.equal(['freeze']);
      expect(await taken.confirm()).to.equal(true);
      await until(() => giver.calls.length === 3);
      expect(giver.calls).to.deep.equal(['freeze', 'prepare', 'released to us']);
    });

    it('tells first what it can while it serves, and freezes when that has been taken up', async () => {
      serve();
      const told: unknown[] = [];
      const taken = await takeOver(loop, path, async (early) => {
        told.push(early);
        await nextTurn();
        expect(giver.calls).to.deep.equal([]);
      });
      expect(told).to.deep.equal(['early']);
      expect(giver.calls).to.deep.equal(['freeze']);
      if (taken.kind !== 'taken') throw new Error(`It was ${taken.kind}`);
      closers.push(() => taken.handed.descriptors.map((fd) => closeSocket(fd)));
      taken.taken.abandon();
      await until(() => giver.calls.at(-1) === 'thaw');
    });

    it('freezes nothing when what was told early can not be taken up', async () => {
      serve();
      const failing = takeOver(loop, path, () => Promise.reject(new Error('no such certificate')));
      expect(String(await failure(failing))).to.equal('Error: no such certificate');
      expect(giver.calls).to.deep.equal([]);
    });

    it('finds nobody where nobody listens, or did', async () => {
      expect(await takeOver(loop, path, takeEarly)).to.deep.equal({ kind: 'nobody' });
      serve().close();
      expect(await takeOver(loop, path, takeEarly)).to.deep.equal({ kind: 'nobody' });
    });
  });

  describe('of which the predecessor', () => {
    it('refuses another version, with the reason, and freezes nothing', async () => {
      serve();
      const caller = call();
      await caller.say({ kind: 'hello', version: HAND_OVER_VERSION + 1 });
      const answer = await caller.hear();
      expect(answer).to.have.property('kind', 'refused');
      const reason = `it hands over in version ${HAND_OVER_VERSION}, and was asked in version ${HAND_OVER_VERSION + 1}`;
      expect(answer).to.have.property('reason', reason);
      expect(await caller.hearOrEnd()).to.equal('end');
      expect(giver.calls).to.deep.equal([`refused: ${reason}`]);
    });

    for (const rubbish of [
      '\u0000',
      '{',
      'null',
      '[]',
      '{"kind":7}',
      '{"kind":"take"}',
      '{"kind":"go"}',
    ]) {
      it(`hangs up on ${JSON.stringify(rubbish)}, and freezes nothing`, async () => {
        serve();
        for (const steps of [0, 3]) {
          const caller = call();
          await converse(caller, steps);
          await caller.say(rubbish);
          expect(await caller.hearOrEnd()).to.equal('end');
          caller.channel.close();
        }
        expect(giver.calls).to.deep.equal([]);
      });
    }

    for (const [index, [step]] of conversation.entries()) {
      it(`goes on when the successor dies before "${step}", and serves the next one`, async () => {
        serve();
        const caller = call();
        await converse(caller, index);
        caller.channel.close();
        await until(() => giver.calls.at(-1) === 'thaw' || index < 4);
        expect(giver.calls.filter((name) => name.startsWith('released'))).to.deep.equal([]);
        let taken: TakeOver | undefined;
        for (let attempt = 0; taken === undefined && attempt < 100; attempt++) {
          // The server may not have seen the end of the one before it.
          taken = await takeOver(loop, path, takeEarly).catch(() => undefined);
        }
        if (taken?.kind !== 'taken') throw new Error('The next one was not served');
        const { handed } = taken;
        closers.push(() => handed.descriptors.map((fd) => closeSocket(fd)));
        expect(await taken.taken.confirm()).to.equal(true);
        await until(() => giver.calls.at(-1) === 'released to us');
        const freezes = giver.calls.filter((name) => name === 'freeze').length;
        expect(giver.calls.filter((name) => name === 'thaw')).to.have.length(freezes - 1);
      });
    }

    it('goes on when the successor dies after "go", before it took what it got', async () => {
      serve();
      const caller = call();
      await converse(caller, conversation.length);
      caller.channel.close();
      await until(() => giver.calls.length === 3);
      expect(giver.calls).to.deep.equal(['freeze', 'prepare', 'thaw']);
    });

    for (const steps of [5, 7]) {
      it(`goes on when it hears something else than it must after ${conversation[steps - 1]?.[0]}`, async () => {
        serve();
        const caller = call();
        await converse(caller, steps);
        await caller.say({ kind: 'hello', version: HAND_OVER_VERSION });
        await until(() => giver.calls.at(-1) === 'thaw');
        expect(giver.calls.filter((name) => name === 'thaw')).to.have.length(1);
      });
    }

    it('gives up a successor that falls silent at any step, which can then take nothing any more', async () => {
      const steps = [0, 1, 2, 3, 5, 7];
      const givers = await Promise.all(
        steps.map(async (count, index) => {
          const own = new RecordingGiver(pair);
          serve(own, `${path}${index}`);
          const caller = call(`${path}${index}`);
          await converse(caller, count);
          const answer = await caller.hearOrEnd();
          if (count === 1) expect(answer).to.deep.equal({ kind: 'welcome' });
          while ((await caller.hearOrEnd()) !== 'end');
          // Its last word comes too late, and it learns that.
          expect(await failure(caller.say({ kind: 'taken' }))).to.be.instanceOf(ChannelError);
          return own;
        }),
      );
      await until(() => givers[5]?.calls.length === 3);
      expect(givers.map(({ calls }) => calls)).to.deep.equal([
        [],
        [],
        [],
        [],
        ['freeze', 'thaw'],
        ['freeze', 'prepare', 'thaw'],
      ]);
    });

    it('hangs up when it can not freeze, has nothing to thaw, and serves the next one', async () => {
      serve();
      giver.freezing = () => Promise.reject(new Error('not now'));
      expect(await failure(takeOver(loop, path, takeEarly))).to.be.instanceOf(ChannelError);
      expect(giver.calls).to.deep.equal(['freeze']);
      giver.freezing = async () => undefined;
      const { taken } = await take();
      expect(await taken.confirm()).to.equal(true);
    });

    it('goes on when a descriptor of its state can not be sent', async () => {
      const own = new RecordingGiver([...pair, 1_000_000]);
      serve(own);
      expect(await failure(takeOver(loop, path, takeEarly))).to.be.instanceOf(ChannelError);
      await until(() => own.calls.length === 2);
      expect(own.calls).to.deep.equal(['freeze', 'thaw']);
    });

    it('hangs up on a second successor while it serves a first', async () => {
      serve();
      const { taken } = await take();
      expect(await failure(takeOver(loop, path, takeEarly))).to.be.instanceOf(ChannelError);
      expect(await taken.confirm()).to.equal(true);
      await until(() => giver.calls.length === 3);
      expect(giver.calls).to.deep.equal(['freeze', 'prepare', 'released to us']);
    });

    it('goes on when the successor can not use what it got', async () => {
      serve();
      const { taken } = await take();
      taken.abandon();
      await until(() => giver.calls.length === 2);
      expect(giver.calls).to.deep.equal(['freeze', 'thaw']);
    });
  });

  describe('of which the successor', () => {
    it('learns why it is refused', async () => {
      const speaking = predecessor(async (channel) => {
        await channel.receive(soon());
        await say(channel, { kind: 'refused', reason: 'too new' });
      });
      expect(await takeOver(loop, path, takeEarly)).to.deep.equal({
        kind: 'refused',
        reason: 'too new',
      });
      await speaking;
    });

    const breaks: Readonly<Record<string, (channel: PacketChannel) => Promise<void>>> = {
      'hangs up at once': async () => undefined,
      'answers something else': async (channel) => {
        await channel.receive(soon());
        await say(channel, { kind: 'go' });
      },
      'hangs up after its welcome': welcome,
      'sends rubbish for a state': async (channel) => {
        await welcome(channel);
        await channel.send(Buffer.from('rubbish'), pair.slice(0, 1), soon());
      },
      'sends a header without its file': async (channel) => {
        await welcome(channel);
        await say(channel, { bytes: 1, descriptors: 0 });
      },
      'hangs up between two descriptors': async (channel) => {
        await welcome(channel);
        const file = createMemfd('half', serialize({}));
        const header = { bytes: serialize({}).length, descriptors: 2 };
        await channel.send(Buffer.from(JSON.stringify(header)), [file], soon());
        closeSocket(file);
        await channel.send(Buffer.from('+'), pair.slice(0, 1), soon());
      },
    };
    for (const [what, speak] of Object.entries(breaks)) {
      it(`throws when the predecessor ${what}, and keeps nothing`, async () => {
        const speaking = predecessor(speak);
        expect(await failure(takeOver(loop, path, takeEarly))).to.be.instanceOf(ChannelError);
        await speaking;
      });
    }

    it('serves once it has said that it takes what it got', async () => {
      const speaking = predecessor(async (channel) => {
        await sendAll(channel);
        await say(channel, { kind: 'go' });
        const { bytes } = await channel.receive(soon());
        expect(Buffer.from(bytes).toString()).to.equal('{"kind":"taken"}');
      });
      const { taken } = await take();
      expect(await taken.confirm()).to.equal(true);
      await speaking;
    });

    it('does not serve when the predecessor dies before its word', async () => {
      const speaking = predecessor(sendAll);
      const { taken } = await take();
      expect(await taken.confirm()).to.equal(false);
      await speaking;
    });

    it('does not serve when the predecessor has stopped listening after its word', async () => {
      const speaking = predecessor(async (channel) => {
        await sendAll(channel);
        channel.refuseMore();
        await say(channel, { kind: 'go' });
      });
      const { taken } = await take();
      expect(await taken.confirm()).to.equal(false);
      await speaking;
    });

    it('does not serve when it hears anything but the word', async () => {
      const speaking = predecessor(async (channel) => {
        await sendAll(channel);
        await say(channel, { kind: 'welcome' });
      });
      const { taken } = await take();
      expect(await taken.confirm()).to.equal(false);
      await speaking;
    });
  });
});
