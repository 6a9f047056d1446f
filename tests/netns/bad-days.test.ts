import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { expect } from 'chai';
import { after, afterEach, before, describe, it } from 'mocha';

import { program, type Running } from '#tests/bed/process.ts';
import type { DialRequest } from '#tests/bed/sockets.ts';
import type { Pod } from '#tests/bed/world.ts';

import { accessLine, Mesh, mark, quoted } from './support/mesh.ts';

const PORT = 7_000;
const ECHO_PORT = 7_001;
const DRAIN_DEADLINE_MS = 2_000;
/** Between the moments of a start at which it is told to end. */
const STARTING_STEP_MS = 100;
/** A request with nothing but field 15, which nobody knows. */
const UNKNOWN_REQUEST = '7a00';

// till, desk ─ near ═══ far ─ shop, shelf
describe('on a bad day, a node tunnel', function () {
  let mesh: Mesh;
  let till: Pod;
  let desk: Pod;
  let shop: Pod;
  let shelf: Pod;

  before(async () => {
    mesh = await Mesh.start({
      prefix: 'ambit-bad-days',
      nodes: [
        { name: 'near', pods: [{ name: 'till' }, { name: 'desk' }] },
        { name: 'far', pods: [{ name: 'shop' }, { name: 'shelf' }] },
      ],
      env: { CONNECTION_TERMINATION_DEADLINE: `${DRAIN_DEADLINE_MS}ms` },
    });
    [till, desk, shop, shelf] = ['till', 'desk', 'shop', 'shelf'].map((name) => mesh.pod(name)) as [
      Pod,
      Pod,
      Pod,
      Pod,
    ];
    for (const pod of [shop, shelf]) {
      const app = program('tests/bed/programs/app.ts', `echo=${ECHO_PORT}`);
      await mesh.world.start(pod, app).waitFor(/^serving$/);
    }
  });

  after(async () => mesh?.[Symbol.asyncDispose]());

  // Whatever a test has done: everybody is served in the end.
  afterEach(async () => {
    expect(await echo(till, shop)).to.equal('hello');
    expect(await echo(desk, shelf)).to.equal('hello');
  });

  async function echo(from: Pod, to: Pod): Promise<string> {
    return mesh.ask(from, { ip: to.ipv4, port: ECHO_PORT }, 'hello');
  }

  async function untilRefused(from: Pod, to: DialRequest): Promise<void> {
    for (;;) {
      const dialed = await mesh.sockets.dial(from, to);
      if (dialed === 'ECONNREFUSED') return;
      if (typeof dialed === 'number') mesh.sockets.close(dialed);
    }
  }

  async function startIn(
    prefix: readonly string[],
    env: Record<string, string> = {},
  ): Promise<string> {
    const { world, configuration } = mesh;
    const command = [...prefix, ...program('ztunnel/main.ts')];
    const result = await world.run(world.node('near'), command, {
      env: {
        LOCAL_XDS_PATH: configuration,
        INPOD_UDS: join(world.directory, 'no-agent.sock'),
        HANDOVER_UDS: '',
        ...env,
      },
      deadlineMs: 10_000,
    });
    expect(result.code).to.equal(1);
    return result.stderr;
  }

  describe('whose pod is withdrawn', () => {
    it('cuts the connections of that pod, closes its ports, and leaves others alone', async () => {
      const { sockets } = mesh;
      const far = mesh.tunnel('far');
      const toShop = await mesh.open(till, shop, PORT);
      const toShelf = await mesh.open(desk, shelf, PORT);
      const caller = sockets.ends(toShop.client).local;
      const marks = { near: mark(mesh.tunnel('near')), far: mark(far) };
      await far.delete(shop);
      expect(await sockets.receive(toShop.client)).to.equal('ECONNRESET');
      expect(await sockets.receive(toShop.server)).to.equal('ECONNRESET');
      const into = await accessLine(marks.far, /dst\.workload="shop".* error=/);
      expect(into.get('error')).to.equal('connection closed due to connection drain');
      await accessLine(marks.near, new RegExp(`src.addr=${quoted(caller)} `));
      for (const port of [15_001, 15_006, 15_008]) {
        const dialed = await sockets.dial(shop, { ip: shop.ipv4, port });
        expect(dialed, `${port}`).to.equal('ECONNREFUSED');
      }
      expect(await sockets.carry(toShelf.client, toShelf.server, 'still')).to.equal('still');
      await mesh.close(toShelf);

      const from = mark(mesh.tunnel('near'));
      expect(await echo(till, shop)).to.equal('ECONNRESET');
      const out = await accessLine(from, /dst\.workload="shop".* error=/);
      expect(out.get('error')).to.match(
        new RegExp(
          `^connection failed: cannot connect to ${quoted(shop.ipv4)}:15008: connection refused .ECONNREFUSED.$`,
        ),
      );
      await far.add(shop);
    });
  });

  describe('whose pod has a port of its own taken', () => {
    it('says which, serves the others, is not ready, and serves it when the port is free', async () => {
      const far = mesh.tunnel('far');
      await far.delete(shelf);
      // The agent may hear of it a moment before the ports are free.
      await untilRefused(shelf, { ip: shelf.ipv4, port: 15_006 });
      const squatter = await untilFree(() => mesh.sockets.listen(shelf, { port: 15_006 }));
      const from = mark(far);
      let refusal = '';
      try {
        await far.add(shelf);
      } catch (error) {
        refusal = String(error);
      }
      expect(refusal).to.match(
        new RegExp(
          `refused ${shelf.uid}: cannot listen on port 15006 in the network namespace of pod default/shelf: .*EADDRINUSE`,
        ),
      );
      await far.process.waitFor(/Cannot start pod default\/shelf .*15006/, 5_000, from.after);
      expect(await mesh.untilReadiness('far', 500)).to.include('workload proxy manager');
      expect(await echo(till, shop)).to.equal('hello');
      mesh.sockets.close(squatter);
      await mesh.untilReadiness('far', 200);
    });
  });

  describe('whose agent', () => {
    it('is restarted goes on serving, is not ready meanwhile, and takes the new snapshot', async () => {
      const near = mesh.tunnel('near');
      const ends = await mesh.open(till, shop, PORT);
      await near.agent.stop();
      await near.process.waitFor(/Cannot connect to the CNI agent at .*ECONNREFUSED/);
      expect(await mesh.untilReadiness('near', 500)).to.include('workload proxy manager');
      expect(await mesh.sockets.carry(ends.client, ends.server, 'still')).to.equal('still');
      expect(await echo(desk, shelf)).to.equal('hello');
      await near.restartAgent();
      await mesh.untilReadiness('near', 200);
      expect(await mesh.sockets.carry(ends.server, ends.client, 'there')).to.equal('there');
      await mesh.close(ends);
    });

    it('asks for what nobody knows answers with an error, starts afresh, and goes on serving', async () => {
      const near = mesh.tunnel('near');
      const ends = await mesh.open(till, shop, PORT);
      const heard = near.agent.lines.length;
      const from = mark(near);
      near.agent.tell(`raw ${UNKNOWN_REQUEST}`);
      const refusal = await near.agent.waitFor(/^refused raw: /, 5_000, heard);
      expect(refusal).to.include('want one of add, del, snapshot_sent, keep');
      await near.process.waitFor(/The CNI agent broke the protocol/, 5_000, from.after);
      expect(await mesh.sockets.carry(ends.client, ends.server, 'still')).to.equal('still');
      await near.agent.waitFor(/^snapshot acked$/, 5_000, heard);
      await mesh.untilReadiness('near', 200);
      await mesh.close(ends);
    });
  });

  describe('that is there before its agent', () => {
    it('hands over to its successor all the same', async () => {
      const { world } = mesh;
      const directory = join(world.directory, 'late');
      const env = {
        LOCAL_XDS_PATH: mesh.configuration,
        INPOD_UDS: join(directory, 'agent.sock'),
        ADMIN_PORT: '16000',
        STATS_PORT: '16020',
        READINESS_PORT: '16021',
      };
      const start = (): Running =>
        world.start(world.node('near'), program('ztunnel/main.ts'), { env });
      const predecessor = start();
      await predecessor.waitFor(/cannot listen for a successor at .*ENOENT/, 60_000);
      mkdirSync(directory);
      await predecessor.waitFor(/connections will survive an upgrade/, 60_000);
      const successor = start();
      await predecessor.waitFor(/everything was handed over/, 60_000);
      expect(await predecessor.exited).to.deep.equal({ code: 0, signal: null });
      await successor.waitFor(/serving/, 60_000);
      successor.signal('SIGTERM');
      expect(await successor.exited).to.deep.equal({ code: 0, signal: null });
      expect(readdirSync(directory)).to.deep.equal([]);
    });
  });

  describe('beside which another is started', () => {
    it('without a hand-over shares the ports with it, until it ends', async () => {
      const near = mesh.tunnel('near');
      const heard = near.agent.lines.length;
      const ports = { ADMIN_PORT: '15100', STATS_PORT: '15120', READINESS_PORT: '15121' };
      const second = near.startBeside({ HANDOVER_UDS: '', ...ports });
      await near.agent.waitFor(/^snapshot acked$/, 10_000, heard);
      for (let count = 0; count < 16; count++) expect(await echo(till, shop)).to.equal('hello');
      // The kernel deals connections by their addresses: of sixteen, each has some.
      const [line] = await Promise.all([
        second.waitFor(/access\tconnection complete/),
        near.process.waitFor(/access\tconnection complete/),
      ]);
      expect(line).to.include('src.workload="till"');
      expect((await second.stop()).code).to.equal(0);
    });
  });

  describe('that cannot start', () => {
    it('because a port is in use names the address and the setting', async () => {
      expect(await startIn([])).to.match(
        /Cannot listen on \[::\]:15021 for readiness: the port is in use\. .*READINESS_PORT.*cuts its connections.*HANDOVER_UDS/,
      );
    });

    for (const [capability, dropped] of [
      ['CAP_SYS_ADMIN', '-sys_admin'],
      ['CAP_NET_ADMIN', '-net_admin,-net_raw'],
    ] as const) {
      it(`without ${capability} says so`, async () => {
        const drop = ['setpriv', `--bounding-set=${dropped}`, `--inh-caps=${dropped}`, '--'];
        expect(await startIn(drop)).to.include(capability);
      });
    }

    it('without a configuration says which setting names it', async () => {
      const missing = join(mesh.world.directory, 'missing.yaml');
      expect(await startIn([], { LOCAL_XDS_PATH: missing }))
        .to.include('LOCAL_XDS_PATH')
        .and.include(missing)
        .and.include('ENOENT');
    });

    it('with a folder for a configuration says that it cannot be read', async () => {
      expect(await startIn([], { LOCAL_XDS_PATH: mesh.world.directory }))
        .to.include('LOCAL_XDS_PATH')
        .and.include(`${mesh.world.directory} (LOCAL_XDS_PATH) is a directory`);
    });
  });

  describe('that is told to end', () => {
    it('while it starts, at whatever moment, ends well and has nothing to complain of', async () => {
      const { world } = mesh;
      // What a process leaves that was killed: as if there were a predecessor, for whose sake it warms up first.
      const leftover = join(world.directory, 'leftover.handover');
      writeFileSync(leftover, '');
      let served = false;
      for (let afterMs = 0; !served; afterMs += STARTING_STEP_MS) {
        const starting = world.start(world.node('near'), program('ztunnel/main.ts'), {
          env: {
            LOCAL_XDS_PATH: mesh.configuration,
            INPOD_UDS: join(world.directory, 'no-agent.sock'),
            HANDOVER_UDS: leftover,
            ADMIN_PORT: '16000',
            STATS_PORT: '16020',
            READINESS_PORT: '16021',
            // The warning of it is the first thing that is said.
            UNSTABLE_ENABLE_SOCKS5: 'true',
          },
        });
        await starting.waitFor(/UNSTABLE_ENABLE_SOCKS5/, 60_000);
        await sleep(afterMs);
        served = starting.lines.some((line) => line.includes('serving'));
        starting.signal(afterMs % 200 === 0 ? 'SIGTERM' : 'SIGINT');
        expect(await starting.exited).to.deep.equal({ code: 0, signal: null });
        const said = starting.lines.map(
          (line) => /error|serving|drain|ended|ztunnel: .*/.exec(line)?.[0],
        );
        expect(said.filter((word) => word !== undefined)).to.be.deep.oneOf([
          ['ended'],
          ['drain', 'drain'],
          ['serving', 'drain', 'drain'],
        ]);
      }
    });

    it('takes nothing new, lets an open connection go on to its end, then ends well', async () => {
      const { sockets } = mesh;
      const near = mesh.tunnel('near');
      const ends = await mesh.open(till, shop, PORT);
      const ending = near.process;
      ending.signal('SIGTERM');
      await ending.waitFor(/draining/);
      await untilRefused(till, { ip: shop.ipv4, port: ECHO_PORT });
      expect((await mesh.page('near', ':15021/healthz/ready')).status).to.equal(500);
      expect(await sockets.carry(ends.client, ends.server, 'the last')).to.equal('the last');
      expect(await sockets.carry(ends.server, ends.client, 'words')).to.equal('words');
      await mesh.close(ends);
      expect(await ending.exited).to.deep.equal({ code: 0, signal: null });
      expect(ending.lines.at(-1)).to.match(/drained\tcut=0/);
      await near.startSuccessor();
    });

    it('cuts what has not ended at the deadline, then ends well', async () => {
      const near = mesh.tunnel('near');
      const ends = await mesh.open(till, shop, PORT);
      const ending = near.process;
      const began = performance.now();
      ending.signal('SIGTERM');
      expect(await mesh.sockets.receive(ends.client)).to.equal('ECONNRESET');
      expect(performance.now() - began).to.be.at.least(DRAIN_DEADLINE_MS - 100);
      expect(await ending.exited).to.deep.equal({ code: 0, signal: null });
      const log = ending.lines.join('\n');
      expect(log).to.include('connections did not end in time and are cut');
      expect(log).to.include('error="connection failed to drain within the timeout"');
      expect(await mesh.sockets.receive(ends.server)).to.equal('ECONNRESET');
      await near.startSuccessor();
    });
  });
});

/** Tries to listen until the kernel has let go of the port, for a few seconds. */
async function untilFree<Listener>(listen: () => Listener): Promise<Listener> {
  const untilMs = performance.now() + 5_000;
  for (;;) {
    try {
      return listen();
    } catch (error) {
      if (performance.now() > untilMs) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}
