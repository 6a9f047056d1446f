import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';

import { identityOf, writeMeshConfiguration } from '#tests/bed/mesh-configuration.ts';
import { type NodeAuthority, startNodeAuthority } from '#tests/bed/node-authority.ts';
import { NodeTunnel } from '#tests/bed/node-tunnel.ts';
import { program } from '#tests/bed/process.ts';
import { BedSockets } from '#tests/bed/sockets.ts';
import { createWorld, type Pod, type World } from '#tests/bed/world.ts';
import { quickestMs } from '#tests/support/quickest.ts';
import { accessLine, mark, page, quoted } from './support/mesh.ts';

/** Renewed after half of it. */
const TTL_SECONDS = 4;
const ECHO_PORT = 7_000;
const AUTHORITY = 'https://127.0.0.1:15012';

// till ─ near ═══ far ─ shop, shelf, drawer, chest. The tests follow each other: near's authority is away, comes,
// and goes again.
describe('a certificate authority', function () {
  let world: World;
  let sockets: BedSockets;
  let near: NodeTunnel;
  let nearAuthority: NodeAuthority;
  let farAuthority: NodeAuthority;
  let till: Pod;

  before(async () => {
    world = await createWorld({
      prefix: 'ambit-authority',
      nodes: [
        { name: 'near', pods: [{ name: 'till' }] },
        {
          name: 'far',
          pods: [{ name: 'shop' }, { name: 'shelf' }, { name: 'drawer' }, { name: 'chest' }],
        },
      ],
    });
    sockets = await BedSockets.open();
    till = world.pod('till');
    const configuration = writeMeshConfiguration(world);
    farAuthority = await startNodeAuthority(world, world.node('far'), TTL_SECONDS);
    const { authorityRoot } = farAuthority;
    const options = { configuration, authority: AUTHORITY, authorityRoot };
    await NodeTunnel.start(world, world.node('far'), options);
    for (const pod of world.pods) await world.enrol(pod);
    const app = program('tests/bed/programs/app.ts', `echo=${ECHO_PORT}`);
    await world.start(world.pod('shop'), app).waitFor(/^serving$/);
    near = await NodeTunnel.start(world, world.node('near'), options);
  });

  after(async () => {
    sockets?.[Symbol.dispose]();
    await world?.dispose();
  });

  /** Which certificates a node holds, as the dump shows them. */
  async function certificates(node: string): Promise<readonly Held[]> {
    const { body } = await page(world, world.node(node), 'http://127.0.0.1:15000/config_dump');
    return (JSON.parse(body) as { readonly certificates: readonly Held[] }).certificates;
  }

  interface Held {
    readonly identity: string;
    readonly state: string;
    readonly certChain: readonly { readonly serialNumber: string }[];
  }

  /** Looks at the one that near holds until it is as wanted. */
  async function untilHeld(isWanted: (state: string) => boolean): Promise<void> {
    const untilMs = performance.now() + 10_000;
    for (;;) {
      const [held] = await certificates('near');
      if (held !== undefined && isWanted(held.state)) return;
      if (performance.now() > untilMs) throw new Error(`It is: ${held?.state}`);
    }
  }

  /** A connection from till; over a new tunnel if it is the first to this pod. */
  async function open(to: Pod, port: number): Promise<{ client: number; server: number }> {
    const listener = sockets.listen(to, { port });
    const client = await sockets.mustDial(till, { ip: to.ipv4, port });
    return { client, server: await sockets.accept(listener) };
  }

  async function works(ends: { client: number; server: number }): Promise<boolean> {
    const there = await sockets.carry(ends.client, ends.server, 'there');
    const back = await sockets.carry(ends.server, ends.client, 'back');
    return there === 'there' && back === 'back';
  }

  it('that is away lets connections wait a while, then fail, and the log names it', async () => {
    const from = mark(near);
    const began = performance.now();
    const client = await sockets.mustDial(till, { ip: world.pod('shop').ipv4, port: ECHO_PORT });
    const line = await accessLine(from, / error=/, 60_000);
    expect(performance.now() - began).to.be.at.least(500);
    expect(await sockets.receive(client)).to.equal('ECONNRESET');
    expect(line.get('error')).to.match(
      new RegExp(
        `^identity error: no certificate for ."${quoted(identityOf(till))}.": The certificate authority at ${quoted(AUTHORITY)} cannot be reached: .*ECONNREFUSED`,
      ),
    );
    expect(await certificates('near')).to.satisfy(([{ state }]: [Held]) =>
      state.startsWith('Unavailable: The certificate authority at'),
    );
  });

  it('that stays away makes further connections fail at once', async () => {
    const to = { ip: world.pod('shop').ipv4, port: ECHO_PORT };
    const takenMs = await quickestMs(async () => {
      const client = await sockets.dial(till, to);
      if (typeof client === 'number') expect(await sockets.receive(client)).to.equal('ECONNRESET');
    });
    expect(takenMs).to.be.below(1_000);
  });

  it('that comes back serves the next connections, without a restart', async () => {
    nearAuthority = await startNodeAuthority(world, world.node('near'), TTL_SECONDS);
    const to = { ip: world.pod('shop').ipv4, port: ECHO_PORT };
    const began = performance.now();
    const first = await sockets.dial(till, to);
    if (typeof first === 'number') {
      sockets.send(first, 'there?');
      await sockets.receive(first);
    }
    await untilHeld((state) => state === 'Available');
    // The one that failed was reason enough to ask before the next attempt was due.
    expect(performance.now() - began).to.be.below(8_000);
    const client = await sockets.mustDial(till, to);
    expect(await sockets.carry(client, client, 'there?')).to.equal('there?');
  });

  it('renews certificates at half their life: connections go on, and new ones come after the end of the first', async () => {
    const ends = await open(world.pod('shop'), 7_002);
    expect(await works(ends)).to.equal(true);
    const [first] = await certificates('near');
    const heard = [nearAuthority, farAuthority].map(({ process }) => process.lines.length);
    // Whoever has been asked three times more has seen the first one end: two halves and more.
    for (const [index, { process }] of [nearAuthority, farAuthority].entries()) {
      const identity = index === 0 ? identityOf(till) : identityOf(world.pod('shelf'));
      let from = heard[index] ?? 0;
      for (let count = 0; count < 3; count++) {
        await process.waitFor(new RegExp(quoted(identity)), 10_000, from);
        from = process.lines.findIndex((line, at) => at >= from && line.includes(identity)) + 1;
      }
    }
    const [now] = await certificates('near');
    expect(now?.state).to.equal('Available');
    expect(now?.certChain[0]?.serialNumber).to.not.equal(first?.certChain[0]?.serialNumber);
    expect(await works(ends)).to.equal(true);
    expect(await works(await open(world.pod('shelf'), 7_003))).to.equal(true);
  });

  it('that goes away does no harm until certificates end; then connections go on and new tunnels fail', async () => {
    const ends = await open(world.pod('shop'), 7_004);
    const from = mark(near);
    await nearAuthority.process.stop();
    await near.process.waitFor(/cannot get a certificate/, 5_000, from.after);
    // The one that it has is good for about two seconds still.
    expect(await works(await open(world.pod('drawer'), 7_005))).to.equal(true);
    await untilHeld((state) => state.startsWith('Unavailable: '));
    expect(await works(ends)).to.equal(true);
    const to = { ip: world.pod('chest').ipv4, port: 7_006 };
    const client = await sockets.dial(till, to);
    if (typeof client === 'number') expect(await sockets.receive(client)).to.equal('ECONNRESET');
    const line = await accessLine(from, /dst\.workload="chest".* error=/);
    expect(line.get('error')).to.match(/^identity error: no certificate for /);
  });

  it('is asked by the successor alone after a hand-over, also while its predecessor waits for its end', async () => {
    nearAuthority = await startNodeAuthority(world, world.node('near'), TTL_SECONDS);
    await near.startSuccessor({ KUBERNETES_SERVICE_HOST: '10.96.0.1' });
    await untilHeld((state) => state === 'Available');
    const predecessor = await near.startSuccessor();
    const from = mark(near);
    await nearAuthority.process.stop();
    await near.process.waitFor(/cannot get a certificate/, 5_000, from.after);
    // By now everybody would have asked who has a certificate to renew.
    await untilHeld((state) => state.startsWith('Unavailable: '));
    expect(predecessor.running).to.equal(true);
    expect(predecessor.lines.join('\n')).to.not.include('cannot get a certificate');
  });
});
