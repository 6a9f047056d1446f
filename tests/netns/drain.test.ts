import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';

import type { Pod } from '#tests/bed/world.ts';

import { Mesh, mark } from './support/mesh.ts';

const PORT = 7_000;
const ANSWER_BYTES = 1_000_000;
const WAIT_MS = 60_000;
/** Many times what the end of a process takes that waits for nothing. */
const PATIENCE_MS = 1_500;

// till ─ near ═══ far ─ shop
describe('a node tunnel that ends', function () {
  this.timeout(2 * WAIT_MS);
  let mesh: Mesh;
  let till: Pod;
  let shop: Pod;

  before(async () => {
    mesh = await Mesh.start({
      prefix: 'ambit-drain',
      nodes: [
        { name: 'near', pods: [{ name: 'till' }] },
        { name: 'far', pods: [{ name: 'shop' }] },
      ],
      env: { CONNECTION_TERMINATION_DEADLINE: '1m' },
    });
    [till, shop] = [mesh.pod('till'), mesh.pod('shop')];
    // What is sent waits at the sender, whose kernel takes it all.
    await limit(till, 'tcp_rmem', '4096 65536 65536');
    await limit(shop, 'tcp_wmem', '4096 4194304 4194304');
    // Its listeners have what is set when they are opened.
    await mesh.tunnel('far').delete(shop);
    await mesh.tunnel('far').add(shop);
  });

  after(async () => mesh?.[Symbol.asyncDispose]());

  async function limit(pod: Pod, name: string, value: string): Promise<void> {
    const command = ['sh', '-c', `echo ${value} > /proc/sys/net/ipv4/${name}`];
    expect((await mesh.world.run(pod, command)).code).to.equal(0);
  }

  it('gives a peer that has stopped reading all that the last connection has sent', async () => {
    const { sockets } = mesh;
    const [near, far] = [mesh.tunnel('near').process, mesh.tunnel('far').process];
    const heard = mark(mesh.tunnel('far')).after;
    const { client, server } = await mesh.open(till, shop, PORT);
    expect(await sockets.carry(client, server, 'all that you have')).to.equal('all that you have');
    sockets.finish(client);
    expect(await sockets.receive(server, 'the end of the request')).to.equal('');
    near.signal('SIGSTOP');
    while (!allStopped(near.pid)) await delay(1);
    try {
      await sockets.sendBytes(server, ANSWER_BYTES);
      sockets.finish(server);
      await far.waitFor(/connection complete/, WAIT_MS, heard);
      far.signal('SIGTERM');
      await far.waitFor(/draining/, WAIT_MS, heard);
      await delay(PATIENCE_MS);
      expect(far.running).to.equal(true);
    } finally {
      near.signal('SIGCONT');
    }
    let received = 0;
    for (;;) {
      const some = await sockets.receiveBytes(client, 'the answer');
      if (some.length === 0) break;
      received += some.length;
    }
    expect(received).to.equal(ANSWER_BYTES);
    expect(await far.exited).to.deep.equal({ code: 0, signal: null });
    expect(far.lines.at(-1)).to.match(/drained\tcut=0/);
    expect(far.lines.join('\n')).not.to.include('could not send everything');
  });
});

/** Has every thread of the process stopped? */
function allStopped(pid: number): boolean {
  const tasks = `/proc/${pid}/task`;
  return readdirSync(tasks).every((task) =>
    / \(.*\) T /.test(readFileSync(`${tasks}/${task}/stat`, 'utf8')),
  );
}
