import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';

import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';

import { Capture } from '#tests/bed/capture.ts';
import { program, type Running, start } from '#tests/bed/process.ts';
import type { Tally } from '#tests/bed/programs/request-loop.ts';
import { createWorld, type Pod, type World } from '#tests/bed/world.ts';

describe('the bed', () => {
  let world: World;
  let till: Pod;
  let shop: Pod;

  before(async () => {
    world = await createWorld({
      prefix: 'ambit-bed',
      nodes: [
        { name: 'near', pods: [{ name: 'till' }, { name: 'neighbour' }] },
        { name: 'far', pods: [{ name: 'shop' }] },
        { name: 'further', pods: [] },
      ],
    });
    till = world.pod('till');
    shop = world.pod('shop');
    const services = ['http=8080', 'echo=7001', 'who=7002', 'send=7003', 'digest=7004'];
    for (const pod of [shop, world.pod('neighbour')]) {
      await world.start(pod, program('tests/bed/programs/app.ts', ...services)).waitFor(/serving/);
    }
  });

  after(async () => world.dispose());

  it('lets pods reach each other on one node and across nodes, by both families', async () => {
    for (const server of [shop, world.pod('neighbour')]) {
      expect(await ask('who', server.ipv4, 7002)).to.deep.equal({ ok: true, answer: till.ipv4 });
      expect(await ask('who', server.ipv6, 7002)).to.deep.equal({ ok: true, answer: till.ipv6 });
    }
  });

  it('has services and questions that agree on what was sent', async () => {
    const megabyte = 1024 * 1024;
    for (const [question, port] of [
      ['echo', 7001],
      ['send', 7003],
      ['digest', 7004],
    ] as const) {
      const answer = await ask(question, shop.ipv4, port, megabyte + 1);
      expect(answer, question).to.have.property('ok', true);
    }
  });

  it('says how a connection failed', async () => {
    const answer = await ask('who', shop.ipv4, 7999);
    expect(answer).to.include({ ok: false, error: 'ECONNREFUSED' });
  });

  it('records what passes a wire, and finds text that is in the clear', async () => {
    const capture = await Capture.start(world, world.node('near'), world.wireTo(shop.node));
    await ask('echo', shop.ipv4, 7001, 1_000);
    const recording = await capture.stop();
    expect(recording.lost).to.equal(0);
    expect(recording.packets).to.be.within(6, 100);
    expect(recording.contains('block 0;block 0;')).to.equal(true);
    expect(recording.contains('block 1;')).to.equal(false);
  });

  it('counts requests, and notices when the server goes away', async () => {
    const server = world.start(
      world.pod('neighbour'),
      program('tests/bed/programs/app.ts', 'http=8081'),
    );
    await server.waitFor(/serving/);
    const target = [world.pod('neighbour').ipv4, '8081', '/100', '4'];
    const user = world.start(till, program('tests/bed/programs/request-loop.ts', ...target));
    await user.waitFor(/^running$/);
    expect(await tally(user))
      .to.include({ errors: 0, reconnects: 0 })
      .and.property('requests')
      .above(3);

    await server.stop();
    // The four connections learn of it one after the other; mocha's deadline ends the wait.
    while ((await tally(user)).errors < 4);
    await user.stop();
  });

  it('leaves nothing when it is disposed of, and removes what a killed run has left', async () => {
    const killed = start(program('tests/netns/support/world-that-stays.ts', 'ambit-stale'));
    const [pid = '', netns = ''] = (await killed.waitFor(/^\d+ /)).split(' ');
    killed.signal('SIGKILL');
    await killed.exited;
    expect(existsSync(netns)).to.equal(true);

    const next = await createWorld({ prefix: 'ambit-stale', nodes: [{ name: 'a', pods: [] }] });
    expect(existsSync(netns)).to.equal(false);
    await gone(pid);

    const running = next.start(next.node('a'), ['sleep', '60']);
    await next.dispose();
    expect(running.running).to.equal(false);
    expect(existsSync(next.node('a').netns)).to.equal(false);
    expect(existsSync(next.directory)).to.equal(false);
    const left = spawnSync('ip', ['netns', 'list'], { encoding: 'utf8' }).stdout;
    expect(left).to.not.include('ambit-stale');
  });

  async function ask(question: string, host: string, port: number, bytes = 0): Promise<object> {
    const command = program('tests/bed/programs/probe.ts', question, host, `${port}`, `${bytes}`);
    const result = await world.run(till, command);
    return JSON.parse(result.stdout) as object;
  }
});

async function tally(user: Running): Promise<Tally> {
  const heard = user.lines.length;
  user.tell('how is it');
  return JSON.parse(await user.waitFor(/^\{/, 5_000, heard)) as Tally;
}

/** Until a killed process has ended; mocha's deadline ends the wait for one that lives on. */
async function gone(pid: string): Promise<void> {
  while (isRunning(pid)) await setImmediate();
}

function isRunning(pid: string): boolean {
  try {
    // A zombie has ended; whoever inherited it takes its time to notice.
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');
  } catch {
    return false;
  }
}
