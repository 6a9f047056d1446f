import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';

import { close } from '#linux/libc.ts';
import { openNetns } from '#linux/netns.ts';
import type { Loop } from '#reactor/loop.ts';
import { openThreadLoop } from '#reactor/thread-loop.ts';
import { openDescriptors } from '#tests/support/descriptors.ts';
import { type SeqpacketPeer, SeqpacketServer } from '#tests/support/seqpacket-peer.ts';
import { Pods } from '#ztunnel/inpod/pods.ts';
import { ZdsClient } from '#ztunnel/inpod/zds-client.ts';

const HELLO = '0801';
const ADD_U1 = '0a0f0a027531 1209 0a016e 120173 1a0161'.replaceAll(' ', '');
const DEL_U1 = '120412027531';
const SNAPSHOT = '1a00';
const ACK = '0a00';

const textOf = (ack: string): string => Buffer.from(ack, 'hex').subarray(4).toString();

describe('ZdsClient', () => {
  let folder: string;
  let path: string;
  let loop: Loop;
  let server: SeqpacketServer;
  let pods: Pods;
  let client: ZdsClient;
  let before: ReadonlyMap<number, string>;
  let ownNetns: number;
  let held: number[];
  let failure: string | undefined;
  let logged: string[];

  beforeEach(async () => {
    before = openDescriptors();
    folder = mkdtempSync(join(tmpdir(), 'zds-'));
    path = join(folder, 'socket');
    loop = await openThreadLoop();
    loop.start();
    server = new SeqpacketServer(path, loop);
    ownNetns = openNetns('/proc/self/ns/net');
    held = [];
    failure = undefined;
    logged = [];
    const host = {
      start: async (_uid: string, _info: unknown, fd: number) => {
        await new Promise((resolve) => setImmediate(resolve));
        if (failure === undefined) held.push(fd);
        else close(fd);
        return failure;
      },
      stop: () => {
        for (const fd of held.splice(0)) close(fd);
      },
    };
    const log = (_level: string, message: string): void => void logged.push(message);
    pods = new Pods({ host, loop, log });
    client = new ZdsClient({ loop, path, pods, log, random: () => 0.5 });
    client.start();
  });

  afterEach(() => {
    client.stop();
    server.close();
    for (const fd of held) close(fd);
    close(ownNetns);
    loop.stop();
    rmSync(folder, { recursive: true });
    const leaked = [...openDescriptors()].filter(([fd, target]) => before.get(fd) !== target);
    expect(leaked, 'descriptors left open').to.deep.equal([]);
  });

  /** A connection whose snapshot is complete. */
  async function synced(): Promise<SeqpacketPeer> {
    const agent = await server.accept();
    expect(await agent.next()).to.equal(HELLO);
    agent.send(SNAPSHOT);
    expect(await agent.next()).to.equal(ACK);
    return agent;
  }

  it('says hello, and nothing more that was not asked for', async () => {
    const agent = await synced();
    expect(agent.unread).to.equal(0);
    expect(pods.notReadyBecause).to.equal(undefined);
    agent.close();
  });

  it('answers each request with one ack', async () => {
    const agent = await server.accept();
    await agent.next();
    agent.send(ADD_U1, [ownNetns]);
    expect(await agent.next()).to.equal(ACK);
    expect(pods.runningCount).to.equal(1);
    agent.send(SNAPSHOT);
    expect(await agent.next()).to.equal(ACK);
    agent.send(DEL_U1);
    expect(await agent.next()).to.equal(ACK);
    expect(pods.runningCount).to.equal(0);
    expect(agent.unread).to.equal(0);
    agent.close();
  });

  it('answers requests that come without waiting in their order', async () => {
    const agent = await server.accept();
    await agent.next();
    failure = 'no room';
    agent.send(ADD_U1, [ownNetns]);
    agent.send(DEL_U1);
    agent.send(SNAPSHOT);
    expect(textOf(await agent.next())).to.equal('no room');
    expect([await agent.next(), await agent.next()]).to.deep.equal([ACK, ACK]);
    agent.close();
  });

  it('answers with the error of a pod that fails, and goes on', async () => {
    const agent = await server.accept();
    await agent.next();
    failure = 'Cannot listen on port 15008: EADDRINUSE';
    agent.send(ADD_U1, [ownNetns]);
    expect(textOf(await agent.next())).to.equal(failure);
    agent.send(SNAPSHOT);
    expect(await agent.next()).to.equal(ACK);
    expect(pods.notReadyBecause).to.include('EADDRINUSE');
    agent.send(DEL_U1);
    expect(await agent.next()).to.equal(ACK);
    expect(pods.notReadyBecause).to.equal(undefined);
    agent.close();
  });

  it('connects again when the agent has gone, and keeps the pods', async () => {
    const agent = await server.accept();
    await agent.next();
    agent.send(ADD_U1, [ownNetns]);
    await agent.next();
    agent.send(SNAPSHOT);
    await agent.next();
    agent.close();
    const next = await server.accept();
    expect(await next.next()).to.equal(HELLO);
    expect(pods.runningCount).to.equal(1);
    expect(pods.notReadyBecause).to.include('snapshot');
    next.send(SNAPSHOT);
    expect(await next.next()).to.equal(ACK);
    expect(pods.runningCount).to.equal(0);
    next.close();
  });

  it('waits longer after each attempt that brings no snapshot', async () => {
    const delays: number[] = [];
    const schedule = loop.timers.schedule.bind(loop.timers);
    loop.timers.schedule = (timer, atMs) => {
      if (timer === client) delays.push(Math.round(atMs - loop.nowMs));
      schedule(timer, atMs);
    };
    for (let attempt = 0; attempt < 6; attempt++) (await server.accept()).close();
    expect(delays.slice(0, 5)).to.deep.equal([10, 20, 40, 80, 160]);
    expect(logged.filter((line) => line.includes('next attempt'))).to.have.length(3);
  });

  it('says what to do when there is no agent', async () => {
    server.close();
    rmSync(path, { force: true });
    const lines: string[] = [];
    const lonely = new ZdsClient({ loop, path, pods, log: (_, line) => lines.push(line) });
    lonely.start();
    lonely.stop();
    expect(lines[0]).to.match(
      /\(INPOD_UDS\): E\w+; start the agent, or set INPOD_UDS to its socket/,
    );
  });

  it('begins with a short wait again after a snapshot', async () => {
    for (let attempt = 0; attempt < 3; attempt++) (await server.accept()).close();
    (await synced()).close();
    (await synced()).close();
    const delays = logged.flatMap((line) => /next attempt in (\d+) ms/.exec(line)?.[1] ?? []);
    expect(delays.slice(0, 4).map(Number)).to.deep.equal([10, 20, 40, 10]);
  });

  const violations: ReadonlyArray<readonly [string, string, number, string]> = [
    ['a packet of 1025 bytes', '12'.repeat(1_025), 0, 'want up to 1024 bytes'],
    ['a packet of 1025 bytes with a descriptor', '12'.repeat(1_025), 1, 'want up to 1024 bytes'],
    ['two descriptors', ADD_U1, 2, 'and 1 file descriptor'],
    ['253 descriptors', ADD_U1, 253, 'and 1 file descriptor'],
    ['an add without a descriptor', ADD_U1, 0, 'want 1'],
    ['a del with a descriptor', DEL_U1, 1, 'want 0'],
    ['an add without workload_info', '0a040a027531', 1, 'has no workload_info'],
    ['a request of an unknown kind with a descriptor', '3200', 1, 'want one of'],
    ['bytes that are no message', 'ffffff', 1, 'Cannot read the packet'],
    ['a second snapshot', SNAPSHOT, 0, 'snapshot was complete already'],
    ['a kept pod after the snapshot', '2a040a027531', 0, 'kept only before the snapshot'],
  ];
  for (const [name, packet, descriptors, want] of violations) {
    it(`says what is wrong and drops the connection at ${name}`, async () => {
      const agent = await synced();
      agent.send(
        packet,
        Array.from({ length: descriptors }, () => ownNetns),
      );
      const answer = await agent.next();
      expect(Buffer.from(answer, 'hex').toString()).to.include(want);
      expect(await agent.next()).to.equal('end');
      expect(pods.notReadyBecause).to.equal('not connected to the CNI agent');
      expect(logged.at(-1)).to.include('next attempt in 1000 ms');
      agent.close();
    });
  }

  it('survives an agent that hangs up in the middle of a request', async () => {
    const agent = await server.accept();
    await agent.next();
    agent.send(ADD_U1, [ownNetns]);
    agent.close();
    const next = await server.accept();
    expect(await next.next()).to.equal(HELLO);
    expect(pods.runningCount).to.equal(1);
    next.close();
  });
});
