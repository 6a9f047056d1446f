import { expect } from 'chai';
import { after, afterEach, before, describe, it } from 'mocha';

import { renderRemoval, renderRuleset } from '#cni/rules/render.ts';
import { captureRules, ownMark, ruleTable } from '#cni/rules/ruleset.ts';
import { EAGAIN } from '#linux/libc.ts';
import { originalDestination } from '#linux/original-destination.ts';
import { acceptTcp, peerAddress } from '#linux/socket.ts';
import { program } from '#tests/bed/process.ts';
import { BedSockets } from '#tests/bed/sockets.ts';
import { createWorld, type Place, type Pod, type World } from '#tests/bed/world.ts';

// One pod with the rules, another beyond a node and a wire without them. What the tunnel does in the pod
// is played by plain listeners on its ports.
describe('the rules of a pod', () => {
  let world: World;
  let sockets: BedSockets;
  let pod: Pod;
  let peer: Pod;

  before(async () => {
    world = await createWorld({
      prefix: 'ambit-rules',
      nodes: [
        { name: 'near', pods: [{ name: 'pod' }] },
        { name: 'far', pods: [{ name: 'peer' }] },
      ],
    });
    sockets = await BedSockets.open();
    pod = world.pod('pod');
    peer = world.pod('peer');
  });

  after(async () => {
    sockets[Symbol.dispose]();
    await world.dispose();
  });

  afterEach(async () => {
    sockets.closeAll();
    await world.release(pod);
  });

  for (const family of ['ipv4', 'ipv6'] as const) {
    describe(`over ${family}`, () => {
      it('bring what the app sends to another pod to :15001, which learns where it was going', async () => {
        await world.enrol(pod);
        const outbound = sockets.listen(pod, { port: 15001 });
        const [app, proxy] = await connected(pod, { ip: peer[family], port: 8080 }, outbound);
        expect(originalDestination(proxy)).to.deep.equal({ ip: peer[family], port: 8080 });
        expect(await sockets.carry(app, proxy, 'request')).to.equal('request');
        expect(await sockets.carry(proxy, app, 'answer')).to.equal('answer');
      });

      it('bring what comes from outside to :15006, which learns where it was going', async () => {
        await world.enrol(pod);
        const inbound = sockets.listen(pod, { port: 15006 });
        const [client, proxy] = await connected(peer, { ip: pod[family], port: 9090 }, inbound);
        expect(originalDestination(proxy)).to.deep.equal({ ip: pod[family], port: 9090 });
        expect(peerAddress(proxy)?.ip).to.equal(peer[family]);
        expect(await sockets.carry(client, proxy, 'request')).to.equal('request');
      });

      it('let tunnels through to :15008', async () => {
        await world.enrol(pod);
        const tunnels = sockets.listen(pod, { port: 15008 });
        sockets.listen(pod, { port: 15006 });
        const [, proxy] = await connected(peer, { ip: pod[family], port: 15008 }, tunnels);
        expect(originalDestination(proxy)).to.deep.equal({ ip: pod[family], port: 15008 });
      });

      it('let the marked traffic of the proxy out', async () => {
        await world.enrol(pod);
        sockets.listen(pod, { port: 15001 });
        const server = sockets.listen(peer, { port: 8080 });
        const to = { ip: peer[family], port: 8080, mark: ownMark.value };
        const [, accepted] = await connected(pod, to, server);
        expect(peerAddress(accepted)?.ip).to.equal(pod[family]);
      });

      it('let the proxy reach the app from the address of the client, and the answer back', async () => {
        await world.enrol(pod);
        sockets.listen(pod, { port: 15006 });
        const app = sockets.listen(pod, { port: 9090 });
        const to = { ip: pod[family], port: 9090, from: peer[family], mark: ownMark.value };
        const [proxy, accepted] = await connected(pod, to, app);
        expect(peerAddress(accepted)?.ip).to.equal(peer[family]);
        expect(await sockets.carry(accepted, proxy, 'answer')).to.equal('answer');
      });

      it('leave alone what the pod says to itself', async () => {
        await world.enrol(pod);
        const outbound = sockets.listen(pod, { port: 15001 });
        const app = sockets.listen(pod, { port: 9090 });
        const self = family === 'ipv4' ? '127.0.0.1' : '::1';
        for (const ip of [self, pod[family]]) {
          const [, accepted] = await connected(pod, { ip, port: 9090 }, app);
          expect(peerAddress(accepted)?.ip).to.equal(ip);
        }
        expect(sockets.isIdle(outbound)).to.equal(true);
      });

      it('let the health probes of the node reach the app', async () => {
        const probe =
          family === 'ipv4' ? '169.254.7.127' : 'fd16:9254:7127:1337:ffff:ffff:ffff:ffff';
        await world.run(pod.node, ['ip', 'address', 'replace', probe, 'dev', 'lo']);
        await world.enrol(pod);
        sockets.listen(pod, { port: 15006 });
        const app = sockets.listen(pod, { port: 9090 });
        const to = { ip: pod[family], port: 9090, from: probe };
        const [, accepted] = await connected(pod.node, to, app);
        expect(peerAddress(accepted)?.ip).to.equal(probe);
      });

      it('leave connections alone that were open before', async () => {
        const app = sockets.listen(pod, { port: 9090 });
        const [client, accepted] = await connected(peer, { ip: pod[family], port: 9090 }, app);
        await world.enrol(pod);
        expect(await sockets.carry(client, accepted, 'request')).to.equal('request');
        expect(await sockets.carry(accepted, client, 'answer')).to.equal('answer');
      });

      it('let no new connection pass as one that was open before', async () => {
        await world.enrol(pod);
        sockets.listen(pod, { port: 15006 });
        const app = sockets.listen(pod, { port: 9090 });
        const ends = [peer[family], '42000', pod[family], '9090'];
        const forged = program('tests/bed/programs/stray-acknowledgement.ts', ...ends);
        expect((await world.run(peer, forged)).stderr).to.equal('');
        const url = `http://${family === 'ipv6' ? `[${pod[family]}]` : pod[family]}:9090/`;
        const caller = world.start(peer, ['curl', '--globoff', '--local-port', '42000', url]);
        while ((await droppedByGuard()) === 0) {
          expect(acceptTcp(app), 'the app was reached').to.equal(-EAGAIN);
        }
        expect(acceptTcp(app)).to.equal(-EAGAIN);
        await caller.stop();
      });

      it('keep redirected connections when they are loaded again', async () => {
        await world.enrol(pod);
        const outbound = sockets.listen(pod, { port: 15001 });
        const [app, proxy] = await connected(pod, { ip: peer[family], port: 8080 }, outbound);
        await world.enrol(pod);
        expect(await sockets.carry(app, proxy, 'request')).to.equal('request');
        expect(await sockets.carry(proxy, app, 'answer')).to.equal('answer');
      });

      it('let excluded ports through in both directions', async () => {
        await world.enrol(pod, { excludedInboundPorts: [22], excludedOutboundPorts: [6379] });
        const app = sockets.listen(pod, { port: 22 });
        const server = sockets.listen(peer, { port: 6379 });
        await connected(peer, { ip: pod[family], port: 22 }, app);
        await connected(pod, { ip: peer[family], port: 6379 }, server);
      });

      it('bring DNS over TCP to :15053 only when asked to', async () => {
        const dns = sockets.listen(pod, { port: 15053 });
        await world.enrol(pod, { dns: true });
        const [, proxy] = await connected(pod, { ip: peer[family], port: 53 }, dns);
        expect(originalDestination(proxy)).to.deep.equal({ ip: peer[family], port: 53 });

        await world.enrol(pod);
        const outbound = sockets.listen(pod, { port: 15001 });
        await connected(pod, { ip: peer[family], port: 53 }, outbound);
      });
    });
  }

  it('are the same when they are loaded twice', async () => {
    await world.enrol(pod);
    const once = await state();
    await world.enrol(pod);
    expect(await state()).to.equal(once);
    expect(once).to.include(ruleTable).and.include('0x111');
  });

  it('stay as they were when a batch fails', async () => {
    await world.enrol(pod);
    const was = await state();
    const broken = renderRuleset(captureRules({ dns: true })).replace(':15001', ':no-such-port');
    const result = await world.run(pod, ['nft', '-f', '-'], { input: broken });
    expect(result.code).to.not.equal(0);
    expect(await state()).to.equal(was);
  });

  it('leave nothing when they are removed, and can be removed twice', async () => {
    const untouched = await state();
    await world.enrol(pod, { dns: true });
    await world.release(pod);
    expect(await state()).to.equal(untouched);
    const result = await world.run(pod, ['nft', '-f', '-'], { input: renderRemoval(ruleTable) });
    expect(result).to.include({ code: 0, stderr: '' });
  });

  async function connected(
    place: Place,
    to: { ip: string; port: number; from?: string; mark?: number },
    listener: number,
  ): Promise<[client: number, server: number]> {
    return Promise.all([sockets.mustDial(place, to), sockets.accept(listener)]);
  }

  async function droppedByGuard(): Promise<number> {
    const command = ['nft', 'list', 'chain', 'inet', ruleTable, 'guard'];
    const { stdout } = await world.run(pod, command);
    return Number(/packets (\d+) bytes \d+ drop/.exec(stdout)?.[1] ?? 0);
  }

  /** Everything that enrolment may change, without counters. */
  async function state(): Promise<string> {
    const script = [
      'nft --stateless list ruleset',
      'ip rule',
      'ip -6 rule',
      'ip route show table all',
      'ip -6 route show table all',
    ].join('; ');
    return (await world.run(pod, ['sh', '-c', script])).stdout;
  }
});
