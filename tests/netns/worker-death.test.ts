import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';

import { program } from '#tests/bed/process.ts';
import type { Pod } from '#tests/bed/world.ts';

import { type Ends, Mesh, mark } from './support/mesh.ts';

const PORT = 7_000;
const ECHO_PORT = 7_001;
const INSPECTOR_PORT = 9_229;
const WAIT_MS = 30_000;

/** An error outside of every handler, as none is known: only then does a thread die of one. */
const THROWS = 'setTimeout(() => { throw new Error("a bug, for a test"); }, 0)';
const FILLS_ITS_MEMORY =
  'globalThis.kept = []; for (;;) kept.push(new Array(1e6).fill(kept.length))';
const NEVER_ENDS = 'for (;;);';
/** Longer than anybody waits for its counters. */
const ENDS_LATE = 'const until = Date.now() + 5_500; while (Date.now() < until);';

// till (first worker), desk (second worker) ─ near ═══ far ─ shop, shelf
describe('a node tunnel of which a data worker', function () {
  this.timeout(60_000);
  let mesh: Mesh;
  let till: Pod;
  let desk: Pod;
  let shop: Pod;
  let shelf: Pod;

  before(async () => {
    mesh = await Mesh.start({
      prefix: 'ambit-worker-death',
      nodes: [
        { name: 'near', pods: [{ name: 'till' }, { name: 'desk' }] },
        { name: 'far', pods: [{ name: 'shop' }, { name: 'shelf' }] },
      ],
      env: {
        ZTUNNEL_WORKER_THREADS: '2',
        NODE_OPTIONS: `--inspect=127.0.0.1:${INSPECTOR_PORT} --max-old-space-size=64`,
      },
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

  async function breakFirstWorker(expression: string): Promise<void> {
    const command = program(
      'tests/bed/programs/break-thread.ts',
      `${INSPECTOR_PORT}`,
      'data-0',
      expression,
    );
    const { stdout, stderr } = await mesh.world.run(mesh.world.node('near'), command);
    expect({ stdout, stderr }).to.deep.equal({ stdout: 'sent\n', stderr: '' });
  }

  async function expectOthersUntouched({ client, server }: Ends): Promise<void> {
    expect(await mesh.sockets.carry(client, server, 'still')).to.equal('still');
    expect(await mesh.sockets.carry(server, client, 'there')).to.equal('there');
  }

  for (const [does, expression, reason] of [
    ['throws', THROWS, /a data worker died and was replaced.*a bug, for a test/],
    [
      'runs out of memory',
      FILLS_ITS_MEMORY,
      /a data worker died and was replaced.*reaching memory limit/,
    ],
    ['is stuck', NEVER_ENDS, /a data worker died and was replaced.*event loop has been stuck/],
  ] as const) {
    it(`${does} loses the connections of its pods only, is not ready, and serves them again`, async () => {
      const lost = await mesh.open(till, shop, PORT);
      const kept = await mesh.open(desk, shelf, PORT);
      const near = mark(mesh.tunnel('near'));
      const notReady = mesh.untilReadiness('near', 500);
      await breakFirstWorker(expression);
      expect(await notReady).to.match(/data worker 0 (answers|serves its pods)/);
      await expectOthersUntouched(kept);
      await near.process.waitFor(reason, WAIT_MS, near.after);
      expect(await mesh.sockets.receive(lost.server, 'the cut')).to.be.oneOf(['', 'ECONNRESET']);
      await mesh.untilReadiness('near', 200);
      expect(await mesh.ask(till, { ip: shop.ipv4, port: ECHO_PORT }, 'hello')).to.equal('hello');
      expect(await mesh.ask(desk, { ip: shelf.ipv4, port: ECHO_PORT }, 'hello')).to.equal('hello');
      await expectOthersUntouched(kept);
      await mesh.close(kept);
    });
  }

  it('is busy for seconds loses nothing, not even what it was asked for meanwhile', async () => {
    const ends = await mesh.open(till, shop, PORT);
    const openedBefore = await opened();
    expect(await mesh.ask(till, { ip: shop.ipv4, port: ECHO_PORT }, 'hello')).to.equal('hello');
    const near = mark(mesh.tunnel('near'));
    await breakFirstWorker(ENDS_LATE);
    const meanwhile = opened();
    expect(await mesh.untilReadiness('near', 500)).to.include('data worker 0 answers');
    expect(await meanwhile).to.equal(openedBefore);
    await mesh.untilReadiness('near', 200);
    expect(await opened()).to.equal(openedBefore + 1);
    await expectOthersUntouched(ends);
    await mesh.close(ends);
    expect(mesh.tunnel('near').log.slice(near.after).join('\n')).not.to.include('died');
  });

  /** Connections that pods of the near node have opened, as the node counts them now. */
  async function opened(): Promise<number> {
    let sum = 0;
    for (const [series, value] of await mesh.metrics('near')) {
      if (series.startsWith('istio_tcp_connections_opened_total{')) sum += value;
    }
    return sum;
  }
});
