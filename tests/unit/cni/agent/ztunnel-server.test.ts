import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';

import { type SnapshotPod, ZtunnelServer } from '#cni/agent/ztunnel-server.ts';
import { close } from '#linux/libc.ts';
import { netnsId, openNetns } from '#linux/netns.ts';
import { connectSeqpacket } from '#linux/seqpacket.ts';
import type { Loop } from '#reactor/loop.ts';
import { openThreadLoop } from '#reactor/thread-loop.ts';
import { openDescriptors } from '#tests/support/descriptors.ts';
import { SeqpacketPeer } from '#tests/support/seqpacket-peer.ts';

const HELLO = '0801';
const ACK = '0a00';
const SNAPSHOT = '1a00';
const ADD_U1 = '0a0f0a02753112090a016e1201731a0161';
const ADD_U2 = '0a0f0a02753212090a016e1201731a0161';
const KEEP_U3 = '2a040a027533';
const DEL_U1 = '120412027531';
const refusal = (text: string): string =>
  Buffer.concat([
    Buffer.from([0x0a, text.length + 2, 0x0a, text.length]),
    Buffer.from(text),
  ]).toString('hex');

const info = (uid: string) => ({ uid, name: 'n', namespace: 's', serviceAccount: 'a' });

describe('ZtunnelServer', () => {
  let folder: string;
  let loop: Loop;
  let server: ZtunnelServer;
  let pods: SnapshotPod[];
  let netns: number;
  let log: string[];
  let peers: SeqpacketPeer[];
  let before: ReadonlyMap<number, string>;

  beforeEach(async () => {
    before = openDescriptors();
    folder = mkdtempSync(join(tmpdir(), 'ztunnel-server-'));
    loop = await openThreadLoop();
    loop.start();
    netns = openNetns('/proc/self/ns/net');
    pods = [];
    log = [];
    peers = [];
    server = new ZtunnelServer(loop, {
      path: join(folder, 'socket'),
      snapshot: () => pods,
      onConnected: (count) => log.push(`connected ${count}`),
      onDisconnected: (count, why) => log.push(`disconnected ${count}: ${why}`),
      onRefused: (what, reason) => log.push(`refused ${what}: ${reason}`),
    });
  });

  afterEach(() => {
    server.stop();
    for (const peer of peers) peer.close();
    loop.stop();
    close(netns);
    rmSync(folder, { recursive: true });
    const left = [...openDescriptors()].filter(([fd, target]) => before.get(fd) !== target);
    expect(left.filter(([, target]) => !target.startsWith('anon_inode'))).to.deep.equal([]);
  });

  function connect(): SeqpacketPeer {
    const connected = connectSeqpacket(join(folder, 'socket'));
    if (!('fd' in connected)) throw new Error(connected.call);
    const peer = new SeqpacketPeer(connected.fd, loop);
    peers.push(peer);
    return peer;
  }

  /** A node tunnel that has taken an empty snapshot. */
  async function served(): Promise<SeqpacketPeer> {
    const tunnel = connect();
    tunnel.send(HELLO);
    expect(await tunnel.next()).to.equal(SNAPSHOT);
    tunnel.send(ACK);
    return tunnel;
  }

  it('sends a snapshot, one by one, with the namespaces that it has', async () => {
    pods = [
      { info: info('u1'), netnsFd: netns },
      { info: info('u2'), netnsFd: netns },
      { info: info('u3'), netnsFd: undefined },
    ];
    server.start();
    const tunnel = connect();
    tunnel.send(HELLO);
    for (const packet of [ADD_U1, ADD_U2, KEEP_U3, SNAPSHOT]) {
      expect(await tunnel.next()).to.equal(packet);
      expect(tunnel.unread).to.equal(0);
      tunnel.send(ACK);
    }
    expect(tunnel.received.map((fd) => netnsId(fd))).to.deep.equal([
      netnsId(netns),
      netnsId(netns),
    ]);
    expect(log).to.deep.equal(['connected 1']);
    expect(server.connected).to.equal(1);
  });

  it('sends the namespace that it was given though the pod has gone meanwhile', async () => {
    const passing = openNetns('/proc/self/ns/net');
    pods = [
      { info: info('u1'), netnsFd: netns },
      { info: info('u2'), netnsFd: passing },
    ];
    server.start();
    const tunnel = connect();
    tunnel.send(HELLO);
    expect(await tunnel.next()).to.equal(ADD_U1);
    close(passing);
    tunnel.send(ACK);
    expect(await tunnel.next()).to.equal(ADD_U2);
    expect(netnsId(tunnel.received[1]!)).to.equal(netnsId(netns));
  });

  it('accepts no one before start()', async () => {
    const tunnel = connect();
    tunnel.send(HELLO);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect([tunnel.unread, server.connected]).to.deep.equal([0, 0]);
    server.start();
    expect(await tunnel.next()).to.equal(SNAPSHOT);
  });

  it("add() brings the tunnel's word", async () => {
    server.start();
    const tunnel = await served();
    const done = server.add(info('u1'), netns);
    expect(await tunnel.next()).to.equal(ADD_U1);
    tunnel.send(ACK);
    expect(await done).to.deep.equal({ kind: 'done' });
    const refused = server.add(info('u1'), netns);
    await tunnel.next();
    tunnel.send(refusal('no room'));
    expect(await refused).to.deep.equal({ kind: 'refused', reason: 'no room' });
  });

  it('add() is for the newest, and for the one before when that goes away', async () => {
    server.start();
    const old = await served();
    const young = await served();
    const added = server.add(info('u1'), netns);
    expect(await young.next()).to.equal(ADD_U1);
    expect(old.unread).to.equal(0);
    young.close();
    peers.pop();
    expect(await old.next()).to.equal(ADD_U1);
    old.send(ACK);
    expect(await added).to.deep.equal({ kind: 'done' });
    expect(log.at(-1)).to.contain('disconnected 1: the node tunnel has closed');
  });

  it('add() says that no tunnel is there', async () => {
    server.start();
    const answer = await server.add(info('u1'), netns);
    expect(answer).to.deep.equal({ kind: 'lost', reason: 'no ztunnel is connected' });
  });

  it('delete() waits for all, and for none that goes away', async () => {
    server.start();
    const [old, young] = [await served(), await served()];
    let ended = false;
    const deleted = server.delete('u1').then(() => (ended = true));
    expect([await old.next(), await young.next()]).to.deep.equal([DEL_U1, DEL_U1]);
    old.send(ACK);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(ended).to.equal(false);
    young.close();
    peers.pop();
    await deleted;
  });

  const bad: readonly (readonly [string, string, string])[] = [
    ['another version', '0802', 'speaks version 2'],
    ['no message', 'ff', 'cannot be understood'],
    ['too long a message', '00'.repeat(1_025), 'more than 1024 bytes'],
  ];
  for (const [what, hello, why] of bad) {
    it(`closes a connection that introduces itself by ${what}`, async () => {
      server.start();
      const tunnel = connect();
      tunnel.send(hello);
      expect(await tunnel.next()).to.equal('end');
      expect(log.at(-1)).to.contain(why);
    });
  }

  it('closes a connection that speaks without being asked', async () => {
    server.start();
    const tunnel = await served();
    tunnel.send(ACK);
    expect(await tunnel.next()).to.equal('end');
    expect(log.at(-1)).to.contain('without being asked');
  });

  it('closes a connection that does not answer in time, and says so to who waits', async () => {
    server.start();
    const tunnel = await served();
    const added = server.add(info('u1'), netns);
    await tunnel.next();
    loop.timers.advance(performance.now() + 10_000, () => undefined);
    expect(await tunnel.next()).to.equal('end');
    expect(await added).to.deep.equal({ kind: 'lost', reason: 'no ztunnel is connected' });
    expect(log.at(-1)).to.contain('has not answered within 4500 ms');
  });

  it('tells of a pod that the tunnel cannot serve yet, and goes on', async () => {
    pods = [{ info: info('u1'), netnsFd: netns }];
    server.start();
    const tunnel = connect();
    tunnel.send(HELLO);
    await tunnel.next();
    tunnel.send(refusal('port in use'));
    expect(await tunnel.next()).to.equal(SNAPSHOT);
    expect(log.at(-1)).to.equal('refused u1: port in use');
  });

  it('takes four tunnels at most', async () => {
    server.start();
    for (let count = 0; count < 4; count++) await served();
    expect(await connect().next()).to.equal('end');
    expect(server.connected).to.equal(4);
  });
});
