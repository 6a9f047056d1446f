import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';

import { Capture } from '#tests/bed/capture.ts';
import { identityOf, writeMeshConfiguration } from '#tests/bed/mesh-configuration.ts';
import { startNodeAuthority } from '#tests/bed/node-authority.ts';
import { NodeTunnel } from '#tests/bed/node-tunnel.ts';
import { program, type Running } from '#tests/bed/process.ts';
import type { Tally } from '#tests/bed/programs/request-loop.ts';
import { createWorld, type Node, type Pod, type World } from '#tests/bed/world.ts';
import { quickestMs } from '#tests/support/quickest.ts';

const DENY_GUEST =
  '[{name: no-guest, namespace: default, scope: Namespace, action: Deny, dryRun: false, ' +
  'rules: [[[{principals: [!Exact cluster.local/ns/default/sa/guest]}]]]}]';
const PORT = { http: 8080, echo: 7001, who: 7002, send: 7003, digest: 7004, closed: 7999 } as const;
const MEGABYTE = 1024 * 1024;

// Node tunnels on both nodes, apps and users in pods, nothing played. Another node tunnel can be tried with
// its command in AMBIT_NODE_TUNNEL.
describe('two nodes', function () {
  let world: World;
  let near: NodeTunnel;
  let far: NodeTunnel;
  let till: Pod;
  let guest: Pod;
  let shop: Pod;
  let stranger: Pod;

  before(async () => {
    world = await createWorld({
      prefix: 'ambit-two-nodes',
      nodes: [
        { name: 'near', pods: [{ name: 'till' }, { name: 'guest' }, { name: 'stranger' }] },
        { name: 'far', pods: [{ name: 'shop' }] },
      ],
    });
    [till, guest, shop, stranger] = ['till', 'guest', 'shop', 'stranger'].map((name) =>
      world.pod(name),
    ) as [Pod, Pod, Pod, Pod];
    const configuration = writeMeshConfiguration(world, {
      policies: DENY_GUEST,
      outside: [stranger.name],
    });
    near = await startTunnel(world.node('near'), [till, guest], configuration);
    far = await startTunnel(world.node('far'), [shop], configuration);
    for (const pod of [till, guest, shop]) await world.enrol(pod);
    for (const pod of [shop, stranger]) {
      const services = Object.entries(PORT)
        .filter(([name]) => name !== 'closed')
        .map(([name, port]) => `${name}=${port}`);
      await world.start(pod, program('tests/bed/programs/app.ts', ...services)).waitFor(/serving/);
    }
  });

  after(async () => world.dispose());

  for (const family of ['ipv4', 'ipv6'] as const) {
    it(`show the server who calls, over ${family}`, async () => {
      const answer = await ask(till, 'who', shop[family], PORT.who);
      expect(answer).to.deep.equal({ ok: true, answer: till[family] });
    });

    it(`carry a call unreadable on the wire, over ${family}`, async () => {
      const capture = await Capture.start(world, world.node('near'), world.wireTo(shop.node));
      const answer = await ask(till, 'echo', shop[family], PORT.echo, 100_000);
      const recording = await capture.stop();
      expect(answer).to.have.property('ok', true);
      expect(recording.lost).to.equal(0);
      expect(recording.packets).to.be.above(10);
      expect(recording.contains('block 0;')).to.equal(false);
    });
  }

  it('name both identities in the logs of both sides', async () => {
    for (const tunnel of [near, far]) {
      const heard = tunnel.log.length;
      await ask(till, 'who', shop.ipv4, PORT.who);
      const line = await tunnel.process.waitFor(/connection complete/, 5_000, heard);
      expect(line).to.include(identityOf(till)).and.include(identityOf(shop));
    }
  });

  it('bring 60 MB unchanged, and the end of the stream after them', async () => {
    expect(await ask(till, 'send', shop.ipv4, PORT.send, 60 * MEGABYTE)).to.have.property(
      'ok',
      true,
    );
  });

  it('keep a half-closed connection: the request to its end, then the answer', async () => {
    const answer = await ask(till, 'digest', shop.ipv4, PORT.digest, 5 * MEGABYTE);
    expect(answer).to.have.property('ok', true);
  });

  it('pass on at once that nobody listens', async () => {
    const takenMs = await quickestMs(async () => {
      expect(await ask(till, 'who', shop.ipv4, PORT.closed)).to.have.property('ok', false);
    });
    // Not only after one of the waits on the way.
    expect(takenMs).to.be.below(1_000);
  });

  it('keep a caller out that a policy denies, and name the policy', async () => {
    const heard = far.log.length;
    expect(await ask(guest, 'who', shop.ipv4, PORT.who)).to.have.property('ok', false);
    expect(await far.process.waitFor(/no-guest/, 5_000, heard)).to.include(identityOf(guest));
  });

  it('serve busy keep-alive connections without an error', async () => {
    const user = await startUser(till, shop, 50);
    while ((await tally(user)).requests < 2_000);
    expect(await tally(user)).to.include({ errors: 0, reconnects: 0 });
    await user.stop();
  });

  it('let a pod of the mesh reach one outside, and the other way round', async () => {
    for (const [from, to] of [
      [till, stranger],
      [stranger, shop],
    ] as const) {
      const answer = await ask(from, 'who', to.ipv4, PORT.who);
      expect(answer).to.deep.equal({ ok: true, answer: from.ipv4 });
    }
  });

  it('cut a pod off when it is withdrawn, and serve it again when it comes back', async () => {
    const user = await startUser(till, shop, 4);
    await far.delete(shop);
    while ((await tally(user)).errors < 4);
    await far.add(shop);
    const { requests } = await tally(user);
    while ((await tally(user)).requests < requests + 100);
    await user.stop();
  });

  async function startTunnel(
    node: Node,
    pods: readonly Pod[],
    configuration: string,
  ): Promise<NodeTunnel> {
    const authority = await startNodeAuthority(world, node);
    const command = process.env['AMBIT_NODE_TUNNEL']?.split(' ');
    return NodeTunnel.start(world, node, {
      ...authority,
      configuration,
      pods,
      ...(command === undefined ? {} : { command }),
    });
  }

  async function ask(
    from: Pod,
    question: string,
    ...args: readonly (string | number)[]
  ): Promise<object> {
    const command = program('tests/bed/programs/probe.ts', question, ...args.map(String));
    return JSON.parse((await world.run(from, command)).stdout) as object;
  }

  async function startUser(from: Pod, to: Pod, connections: number): Promise<Running> {
    const target = [to.ipv4, PORT.http, '/1024', connections].map(String);
    const user = world.start(from, program('tests/bed/programs/request-loop.ts', ...target));
    await user.waitFor(/^running$/);
    return user;
  }
});

async function tally(user: Running): Promise<Tally> {
  const heard = user.lines.length;
  user.tell('how is it');
  return JSON.parse(await user.waitFor(/^\{/, 5_000, heard)) as Tally;
}
