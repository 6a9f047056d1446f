import type { ClientHttp2Session } from 'node:http2';

import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';

import { program, run } from '#tests/bed/process.ts';
import { TestWaypointProcess } from '#tests/bed/waypoint.ts';

const WAIT_MS = 60_000;
/** An error outside of every handler, as none is known: only then does a thread die of one. */
const THROWS = 'setTimeout(() => { throw new Error("a bug, for a test"); }, 0)';
const ANSWERED = 'HTTP/1.1 503';
const REQUEST = 'GET / HTTP/1.1\r\nhost: reviews\r\nconnection: close\r\n\r\n';

describe('the data workers of a waypoint', function () {
  this.timeout(120_000);
  let waypoint: TestWaypointProcess;
  let tunnels: ClientHttp2Session[];

  before(async () => {
    waypoint = await TestWaypointProcess.start(({ other }) => ({
      WAYPOINT_WORKER_THREADS: '2',
      NODE_OPTIONS: `--inspect=127.0.0.1:${other}`,
    }));
    tunnels = [];
    for (let each = 0; each < 4; each++) tunnels.push(await waypoint.tunnel());
  });
  after(async () => waypoint?.[Symbol.asyncDispose]());

  async function breakWorker(name: string, expression: string): Promise<void> {
    const { other } = waypoint.ports;
    const command = [
      'tests/bed/programs/break-thread.ts',
      String(other),
      name,
      expression,
    ] as const;
    const { stdout, stderr } = await run(program(...command));
    expect({ stdout, stderr }).to.deep.equal({ stdout: 'sent\n', stderr: '' });
  }

  it('have two tunnels each when four come in: the death of one ends two, which come back', async () => {
    const oneEnded = Promise.race(
      tunnels.map((tunnel) => new Promise((resolve) => tunnel.once('close', resolve))),
    );
    await breakWorker('data-0', THROWS);
    const died = /a data worker died and was replaced.*a bug, for a test/;
    await waypoint.process.waitFor(died, WAIT_MS);
    await oneEnded;
    // Whatever has not been heard of the end of a tunnel until now is heard when it is asked.
    const answers = tunnels.map((tunnel) => waypoint.ask(tunnel, REQUEST).catch(() => 'closed'));
    const kinds = (await Promise.all(answers)).map((answer) => answer.slice(0, 12));
    expect(kinds.toSorted()).to.deep.equal([ANSWERED, ANSWERED, 'closed', 'closed']);
    expect(await waypoint.metric('ambit_tunnels_open')).to.equal(2);

    // The new one has nothing, and gets what comes until both have as many.
    for (let each = 0; each < 2; each++) {
      const tunnel = await waypoint.tunnel();
      expect(await waypoint.ask(tunnel, REQUEST)).to.match(
        /^HTTP\/1\.1 503 .*no healthy upstream$/s,
      );
    }
    expect(await waypoint.metric('ambit_tunnels_open')).to.equal(4);
  });

  it('are replaced when all have died; meanwhile it is not ready, and who comes waits', async () => {
    const seen = waypoint.process.lines.length;
    const notReady = waypoint.untilReady(500);
    await Promise.all([breakWorker('data-0', THROWS), breakWorker('data-1', THROWS)]);
    expect(await notReady).to.include('a data worker takes tunnels');
    const waiting = waypoint.tunnel();
    await waypoint.process.waitFor(/died and was replaced\tworker=0/, WAIT_MS, seen);
    await waypoint.process.waitFor(/died and was replaced\tworker=1/, WAIT_MS, seen);
    await waypoint.untilReady(200);
    expect(await waypoint.ask(await waiting, REQUEST)).to.match(/^HTTP\/1\.1 503 /);
  });

  it('end the process when they die again and again', async () => {
    for (;;) {
      const seen = waypoint.process.lines.length;
      await breakWorker('data-0', THROWS);
      const line = await waypoint.process.waitFor(
        /died and was replaced|dies again and again/,
        WAIT_MS,
        seen,
      );
      if (line.includes('again and again')) break;
    }
    expect(await waypoint.process.exited).to.deep.include({ code: 1 });
  });
});
