import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { expect } from 'chai';
import { after, afterEach, before, describe, it } from 'mocha';

import { connectSeqpacket } from '#linux/seqpacket.ts';
import { receiveState } from '#reactor/hand-over.ts';
import type { Loop } from '#reactor/loop.ts';
import { PacketChannel } from '#reactor/packet-channel.ts';
import { closeSocket } from '#reactor/socket.ts';
import { openThreadLoop } from '#reactor/thread-loop.ts';
import { writeMeshConfiguration } from '#tests/bed/mesh-configuration.ts';
import { startNodeAuthority } from '#tests/bed/node-authority.ts';
import { NodeTunnel } from '#tests/bed/node-tunnel.ts';
import { program, type Running } from '#tests/bed/process.ts';
import type { Checked } from '#tests/bed/programs/checked-stream.ts';
import type { Tally } from '#tests/bed/programs/request-loop.ts';
import { BedSockets } from '#tests/bed/sockets.ts';
import { createWorld, type Pod, type World } from '#tests/bed/world.ts';
import { SeqpacketServer } from '#tests/support/seqpacket-peer.ts';
import { HAND_OVER_VERSION } from '#ztunnel/hand-over.ts';

const IDLE_CONNECTIONS = 2_000;
const STREAM_MB_PER_S = 20;
/** More than the sockets on the way hold, less than the window of a stream. */
const ANSWER_BYTES = 3_000_000;
const SHA256_BYTES = 32;
const BROKE_OFF = /the hand-over broke off, this process goes on/;
const WAIT_MS = 15_000;
const DROP_TUNNELS =
  'table inet away { chain in { type filter hook input priority -300; tcp dport 15008 drop; }; }';

describe('a hand-over of a node tunnel', function () {
  this.timeout(90_000);
  let loop: Loop;
  let world: World;
  let tunnel: NodeTunnel;
  let far: NodeTunnel;
  let client: Pod;
  let server: Pod;
  let late: Pod;
  let stream: Running;
  let cut = false;

  before(async () => {
    loop = await openThreadLoop();
    loop.start();
    world = await createWorld({
      prefix: 'ambit-broken-off',
      nodes: [
        { name: 'one', pods: [{ name: 'client' }] },
        { name: 'two', pods: [{ name: 'server' }, { name: 'late' }] },
      ],
    });
    [client, server, late] = ['client', 'server', 'late'].map((name) => world.pod(name)) as [
      Pod,
      Pod,
      Pod,
    ];
    const configuration = writeMeshConfiguration(world);
    for (const pod of world.pods) await world.enrol(pod);
    for (const node of world.nodes) {
      const authority = await startNodeAuthority(world, node);
      const started = await NodeTunnel.start(world, node, { configuration, ...authority });
      if (node.name === 'one') tunnel = started;
      else far = started;
    }
    for (const pod of [server, late]) {
      const app = program('tests/bed/programs/app.ts', 'http=8080', 'echo=8082', 'send=8083');
      await world.start(pod, app).waitFor(/^serving$/);
    }
    const checked = program(
      'tests/bed/programs/checked-stream.ts',
      server.ipv4,
      '8082',
      `${STREAM_MB_PER_S}`,
    );
    stream = world.start(client, checked);
    await stream.waitFor(/^running$/, WAIT_MS);
  });

  after(async () => {
    loop.stop();
    await world.dispose();
  });

  /** Whatever happened, the transfer that runs all the time goes on, and nothing in it changed. */
  afterEach(async () => {
    if (cut) return;
    const { bytes } = await ask<Checked>(stream);
    for (;;) {
      const now = await ask<Checked>(stream);
      expect(now.errors).to.deep.equal([]);
      if (now.bytes > bytes + 1_000_000) return;
    }
  });

  const succeed = async (env: Readonly<Record<string, string>> = {}): Promise<Running> => {
    const heard = tunnel.process.lines.length;
    const predecessor = await tunnel.startSuccessor(env);
    await predecessor.waitFor(/everything was handed over/, WAIT_MS, heard);
    return predecessor;
  };

  for (const afterMs of [0, 100, 250]) {
    it(`does no harm when the successor is killed ${afterMs} ms after its start`, async () => {
      const successor = tunnel.startBeside();
      await delay(afterMs);
      successor.signal('SIGKILL');
      expect(await successor.exited).to.include({ signal: 'SIGKILL' });
      expect(tunnel.process.running).to.equal(true);
    });
  }

  for (const [when, steps] of [
    ['it has asked', []],
    ['it has got everything', ['state']],
    ['it has built everything', ['state', 'adopted']],
    ['it has the word', ['state', 'adopted', 'go']],
  ] as const) {
    it(`does no harm when the successor dies after ${when}`, async () => {
      const heard = tunnel.process.lines.length;
      const channel = await greet(loop, tunnel.handOverPath);
      for (const step of steps) await take(channel, step);
      channel.close();
      await tunnel.process.waitFor(BROKE_OFF, WAIT_MS, heard);
    });
  }

  it('does no harm when the successor falls silent with everything in its hands', async () => {
    const heard = tunnel.process.lines.length;
    const channel = await greet(loop, tunnel.handOverPath);
    await take(channel, 'state');
    await tunnel.process.waitFor(BROKE_OFF, WAIT_MS, heard);
    channel.close();
  });

  it('does no harm when the successor has a broken configuration, which it says', async () => {
    const successor = tunnel.startBeside({ LOCAL_XDS_PATH: '/nowhere/mesh.yaml' });
    expect(await successor.exited).to.deep.equal({ code: 1, signal: null });
    expect(successor.lines.join('\n')).to.include('/nowhere/mesh.yaml');
    expect(tunnel.process.running).to.equal(true);
  });

  it('does no harm when a port of the successor is taken, which it says', async () => {
    const app = program('tests/bed/programs/app.ts', 'http=15920');
    const other = world.start(tunnel.node, app);
    await other.waitFor(/^serving$/, WAIT_MS);
    const heard = tunnel.process.lines.length;
    const successor = tunnel.startBeside({ STATS_PORT: '15920' });
    expect(await successor.exited).to.deep.equal({ code: 1, signal: null });
    expect(successor.lines.join('\n')).to.match(/15920.*in use.*STATS_PORT/);
    expect(tunnel.process.running).to.equal(true);
    expect(tunnel.process.lines.slice(heard).join('\n')).to.not.match(BROKE_OFF);
    await other.stop();
  });

  for (const [where, ports] of [
    ['ends at once, and says why, when both need the same ports', {}],
    [
      'starts afresh beside it when it has ports of its own',
      { ADMIN_PORT: '15100', STATS_PORT: '15120', READINESS_PORT: '15121' },
    ],
  ] as const) {
    it(`that is refused for its version ${where}`, async () => {
      const HANDOVER_UDS = join(world.directory, 'another.sock');
      const refusing = new SeqpacketServer(HANDOVER_UDS, loop);
      const acked = tunnel.agent.lines.length;
      const successor = tunnel.startBeside({ HANDOVER_UDS, ...ports });
      const peer = await refusing.accept();
      const channel = new PacketChannel(loop, peer.fd);
      loop.remove(peer);
      await channel.receive(performance.now() + WAIT_MS);
      await say(channel, { kind: 'refused', reason: 'this process hands over in version 0' });
      if ('ADMIN_PORT' in ports) {
        await successor.waitFor(/starts afresh beside it.*in version 0/, WAIT_MS);
        await tunnel.agent.waitFor(/^snapshot acked$/, WAIT_MS, acked);
        expect((await successor.stop()).code).to.equal(0);
      } else {
        expect(await successor.exited).to.deep.equal({ code: 1, signal: null });
        const said = successor.lines.join('\n');
        expect(said).to.match(/does not hand over to this one .*in version 0.*end it first.*port/);
        expect(tunnel.agent.lines.slice(acked)).to.deep.equal([]);
      }
      channel.close();
      refusing.close();
      expect(tunnel.process.running).to.equal(true);
    });
  }

  it('refuses a successor of another version at once, says so, and is there for the next one', async () => {
    const heard = tunnel.process.lines.length;
    const channel = reach(loop, tunnel.handOverPath);
    await say(channel, { kind: 'hello', version: HAND_OVER_VERSION + 1 });
    const versions = `version ${HAND_OVER_VERSION}, and was asked in version ${HAND_OVER_VERSION + 1}`;
    const { bytes } = await channel.receive(performance.now() + WAIT_MS);
    expect(JSON.parse(Buffer.from(bytes).toString())).to.deep.equal({
      kind: 'refused',
      reason: `it hands over in ${versions}`,
    });
    const line = new RegExp(`does not hand over to a successor.*${versions}`);
    await tunnel.process.waitFor(line, WAIT_MS, heard);
    const ended = await channel.receive(performance.now() + WAIT_MS).catch(String);
    expect(ended).to.match(/closed|ended/);
    channel.close();
  });

  it('succeeds after all of these', async () => {
    const predecessor = await succeed();
    expect(await predecessor.exited).to.deep.equal({ code: 0, signal: null });
  });

  it('takes a connection along that waits for a tunnel', async () => {
    await mustNft(late, DROP_TUNNELS);
    const curl = ['curl', '-sS', '-m', '30', `http://${late.ipv4}:8080/1000`];
    const answer = world.run(client, curl);
    const page = ['curl', '-s', '-m', '5', 'http://127.0.0.1:15000/config_dump'];
    let waits = false;
    while (!waits) {
      const { stdout } = await world.run(world.node('one'), page);
      waits = stdout.includes(`${late.ipv4}:8080`);
    }
    await succeed();
    await mustNft(late, 'delete table inet away');
    const { code, stdout, stderr } = await answer;
    expect({ code, stderr, length: stdout.length }).to.deep.equal({
      code: 0,
      stderr: '',
      length: 1_000,
    });
  });

  it('takes the rest of an answer along whose tunnel has ended, and its slow reader gets every byte', async () => {
    using sockets = await BedSockets.open();
    const reader = await sockets.mustDial(client, { ip: late.ipv4, port: 8083 });
    const heard = far.process.lines.length;
    sockets.send(reader, `${ANSWER_BYTES}\n`);
    sockets.finish(reader);
    await far.process.waitFor(/connection complete.*dst.workload="late"/, WAIT_MS, heard);
    while ((await bytesFrom(late)) < ANSWER_BYTES);
    // The tunnel ends with its pod.
    await far.delete(late);
    const predecessor = await succeed();
    expect(await predecessor.exited).to.deep.equal({ code: 0, signal: null });
    const body = createHash('sha256');
    let received = 0;
    let last = Buffer.alloc(0);
    for (;;) {
      const some = await sockets.receiveBytes(reader, 'the rest');
      if (some.length === 0) break;
      received += some.length;
      // The digest of everything comes at the end.
      const both = Buffer.concat([last, some]);
      const bodyEnd = Math.max(0, both.length - SHA256_BYTES);
      body.update(both.subarray(0, bodyEnd));
      last = both.subarray(bodyEnd);
    }
    expect(received).to.equal(ANSWER_BYTES + SHA256_BYTES);
    expect(last.toString('hex')).to.equal(body.digest('hex'));
    await tunnel.process.waitFor(/connection complete.*dst.workload="late"/, WAIT_MS);
    await far.add(late);
  });

  it('leaves a handshake behind, which ends, and says how many', async () => {
    using sockets = await BedSockets.open();
    const heard = far.process.lines.length;
    const halfway = await sockets.mustDial(client, { ip: server.ipv4, port: 15_008, mark: 0x539 });
    const predecessor = await far.startSuccessor();
    await predecessor.waitFor(/a handshake can not be moved.*count=1/, WAIT_MS, heard);
    expect(await sockets.receive(halfway, 'the end')).to.be.oneOf(['', 'ECONNRESET']);
    expect(await predecessor.exited).to.deep.equal({ code: 0, signal: null });
  });

  it(`takes ${IDLE_CONNECTIONS} idle connections along`, async () => {
    const user = world.start(
      client,
      program(
        'tests/bed/programs/request-loop.ts',
        server.ipv4,
        '8080',
        '/10',
        `${IDLE_CONNECTIONS}`,
        '4000',
      ),
    );
    await user.waitFor(/^running$/, 60_000);
    const predecessor = await succeed();
    expect(await predecessor.exited).to.deep.equal({ code: 0, signal: null });
    const { requests } = await ask<Tally>(user);
    for (;;) {
      const now = await ask<Tally>(user);
      expect(now.reasons).to.deep.equal([]);
      if (now.requests > requests + 2 * IDLE_CONNECTIONS) break;
      await delay(200);
    }
    expect(await ask<Tally>(user)).to.include({ errors: 0, reconnects: 0 });
    await user.stop();
  });

  it('leaves a process that waits for its end inside Kubernetes', async () => {
    await succeed({ KUBERNETES_SERVICE_HOST: '10.96.0.1' });
    const predecessor = await succeed();
    expect(predecessor.running).to.equal(true);
    predecessor.signal('SIGTERM');
    expect(await predecessor.exited).to.deep.equal({ code: 0, signal: null });
  });

  it('judges what it brings by the policies that the successor starts with', async () => {
    cut = true;
    const rule = '[{principals: [!Exact cluster.local/ns/default/sa/client]}]';
    const policies = `[{name: no-client, namespace: default, scope: Namespace, action: Deny, dryRun: false, rules: [[${rule}]]}]`;
    const LOCAL_XDS_PATH = join(world.directory, 'strict.yaml');
    const lenient = readFileSync(join(world.directory, 'mesh.yaml'), 'utf8');
    writeFileSync(LOCAL_XDS_PATH, lenient.replace(/^policies: .*$/m, `policies: ${policies}`));
    await far.startSuccessor({ LOCAL_XDS_PATH });
    await far.process.waitFor(/policy change.*policy="default\/no-client"/, WAIT_MS);
    const { errors } = await ask<Checked>(stream);
    expect(errors).not.to.deep.equal([]);
  });

  it('is over before the process obeys a signal to end', async () => {
    const heard = tunnel.process.lines.length;
    const channel = await greet(loop, tunnel.handOverPath);
    await take(channel, 'state');
    tunnel.process.signal('SIGTERM');
    channel.close();
    await tunnel.process.waitFor(/draining/, WAIT_MS, heard);
    const said = tunnel.process.lines
      .slice(heard)
      .filter((line) => /broke off|draining/.test(line));
    expect(said[0]).to.match(BROKE_OFF);
  });

  /** Counted where the client is. */
  async function bytesFrom(pod: Pod): Promise<number> {
    const page = ['curl', '-s', '-m', '5', 'http://127.0.0.1:15020/metrics'];
    const { stdout } = await world.run(world.node('one'), page);
    const series = new RegExp(`^istio_tcp_sent_bytes_total\\{.*destination_workload="${pod.name}"`);
    const counts = stdout.split('\n').filter((line) => series.test(line));
    return counts.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
  }

  async function mustNft(pod: Pod, rules: string): Promise<void> {
    const { code, stderr } = await world.run(pod, ['nft', '-f', '-'], { input: rules });
    expect({ code, stderr }).to.deep.equal({ code: 0, stderr: '' });
  }
});

async function ask<Answer>(running: Running): Promise<Answer> {
  const heard = running.lines.length;
  running.tell('?');
  return JSON.parse(await running.waitFor(/^\{/, 10_000, heard)) as Answer;
}

function reach(loop: Loop, path: string): PacketChannel {
  const opened = connectSeqpacket(path);
  if (!('fd' in opened)) throw new Error(`nobody listens at ${path}: ${opened.errno}`);
  return new PacketChannel(loop, opened.fd);
}

/** A successor up to its request, and at the mercy of the test. */
async function greet(loop: Loop, path: string): Promise<PacketChannel> {
  const channel = reach(loop, path);
  await say(channel, { kind: 'hello', version: HAND_OVER_VERSION });
  await hear(channel, 'welcome');
  await take(channel, 'state');
  await say(channel, { kind: 'request' });
  return channel;
}

async function take(channel: PacketChannel, what: 'state' | 'adopted' | 'go'): Promise<void> {
  if (what === 'adopted') await say(channel, { kind: 'adopted' });
  else if (what === 'go') await hear(channel, 'go');
  else {
    const { descriptors } = await receiveState(channel, performance.now() + WAIT_MS);
    for (const fd of descriptors) closeSocket(fd);
  }
}

function say(channel: PacketChannel, message: object): Promise<void> {
  return channel.send(Buffer.from(JSON.stringify(message)), [], performance.now() + WAIT_MS);
}

async function hear(channel: PacketChannel, kind: string): Promise<void> {
  const { bytes } = await channel.receive(performance.now() + WAIT_MS);
  expect(JSON.parse(Buffer.from(bytes).toString())).to.deep.equal({ kind });
}
