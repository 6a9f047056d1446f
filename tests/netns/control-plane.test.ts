import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';

import { AUTHORIZATION_POLICIES } from '#kube/resources.ts';
import { TestCluster, TestIstiod } from '#tests/bed/istiod.ts';
import { NodeTunnel } from '#tests/bed/node-tunnel.ts';
import { must, program } from '#tests/bed/process.ts';
import { BedSockets } from '#tests/bed/sockets.ts';
import { createWorld, type Pod, type World } from '#tests/bed/world.ts';

import { accessLine, type Ends, mark, page } from './support/mesh.ts';

const PORT = 7_000;
const HELD_PORT = 7_100;
const SERVER_NAME = 'istiod.istio-system.svc';

/** Where a node finds this machine, and this machine the node; other runs have others. */
function wire(index: number) {
  const number = ((process.pid * 2) % 254) + index;
  return { name: `ambit-cp${number}`, host: `10.98.${number}.1`, node: `10.98.${number}.2` };
}

// alice ─ near ══ far ─ shop, and istiod on this machine, which both nodes have a wire to. The tunnel of `near`
// is told what it asks for, that of `far` everything.
describe('node tunnels of a cluster', function () {
  let world: World;
  let cluster: TestCluster;
  let istiod: TestIstiod;
  let sockets: BedSockets;
  let listener: number;
  const tunnels = new Map<string, NodeTunnel>();

  before(async () => {
    world = await createWorld({
      prefix: 'ambit-control',
      nodes: [
        { name: 'near', pods: [{ name: 'alice', namespace: 'shop' }] },
        { name: 'far', pods: [{ name: 'shop', namespace: 'shop' }] },
      ],
    });
    sockets = await BedSockets.open();
    cluster = await TestCluster.start(['near', 'far']);
    await cluster.addNamespace('shop');
    for (const { name, namespace, serviceAccount, node, ipv4 } of world.pods) {
      const labels = { app: name };
      await cluster.addPod(name, { namespace, serviceAccount, node: node.name, ip: ipv4, labels });
    }
    istiod = await startIstiod(0);
    const rootPath = join(world.directory, 'mesh-root.pem');
    writeFileSync(rootPath, await cluster.rootPem());
    const shop = world.pod('shop');
    await world
      .start(shop, program('tests/bed/programs/app.ts', `echo=${PORT}`))
      .waitFor(/^serving$/);
    for (const [index, node] of world.nodes.entries()) {
      const { name, host, node: address } = wire(index);
      const inside = `${node.netns.split('/').at(-1)}`;
      await must(['ip', '-batch', '-'], {
        input: `link add ${name} type veth peer name host0 netns ${inside}\naddress add ${host}/30 dev ${name}\nlink set ${name} up\n`,
      });
      await must(['ip', '-batch', '-'], {
        netns: node.netns,
        input: `address add ${address}/30 dev host0\nlink set host0 up\n`,
      });
      const token = join(world.directory, `token-${node.name}`);
      writeFileSync(token, await cluster.proxyToken(node.name));
      const control = `https://${host}:${istiod.ports.discovery}`;
      const tunnel = await NodeTunnel.start(world, node, {
        configuration: '',
        authority: control,
        authorityRoot: rootPath,
        env: {
          XDS_ADDRESS: control,
          XDS_ROOT_CA: rootPath,
          XDS_ON_DEMAND: String(node.name === 'near'),
          ALT_XDS_HOSTNAME: SERVER_NAME,
          ALT_CA_HOSTNAME: SERVER_NAME,
          AUTH_TOKEN: token,
          POD_NAME: `ztunnel-${node.name}`,
          POD_NAMESPACE: 'istio-system',
        },
      });
      tunnels.set(node.name, tunnel);
    }
    await Promise.all(world.pods.map((pod) => world.enrol(pod)));
    listener = sockets.listen(shop, { port: HELD_PORT });
  });

  after(async () => {
    sockets?.[Symbol.dispose]();
    await world?.dispose();
    await istiod?.[Symbol.asyncDispose]();
    await cluster?.[Symbol.asyncDispose]();
  });

  function startIstiod(port: number): Promise<TestIstiod> {
    return TestIstiod.start(cluster, { LISTEN_HOST: '0.0.0.0', DISCOVERY_PORT: String(port) });
  }
  function tunnelOf(node: string): NodeTunnel {
    const tunnel = tunnels.get(node);
    if (tunnel === undefined) throw new Error(`No tunnel on ${node}`);
    return tunnel;
  }
  async function open(from: Pod): Promise<Ends> {
    const { ipv4: ip } = world.pod('shop');
    const client = await sockets.mustDial(from, { ip, port: HELD_PORT });
    return { client, server: await sockets.accept(listener) };
  }
  async function workloadsOf(node: string): Promise<readonly string[]> {
    const { body } = await page(world, world.node(node), 'http://127.0.0.1:15000/config_dump');
    const { workloads } = JSON.parse(body) as { workloads: readonly { readonly name: string }[] };
    return workloads.map(({ name }) => name).toSorted();
  }
  function ask(): Promise<string> {
    return dialed({ ip: world.pod('shop').ipv4, port: PORT });
  }
  async function dialed(to: { readonly ip: Pod['ipv4']; readonly port: number }): Promise<string> {
    const client = await sockets.dial(world.pod('alice'), to);
    if (typeof client === 'string') return client;
    sockets.send(client, 'knock');
    const answer = await sockets.receive(client, 'the shop to answer');
    sockets.close(client);
    return answer;
  }
  /** Nothing from alice, for the shop only. */
  const noAlice = {
    apiVersion: 'security.istio.io/v1',
    kind: 'AuthorizationPolicy',
    metadata: { name: 'no-alice', namespace: 'shop' },
    spec: {
      selector: { matchLabels: { app: 'shop' } },
      action: 'DENY',
      rules: [{ from: [{ source: { principals: ['cluster.local/ns/shop/sa/alice'] } }] }],
    },
  };
  async function policyGone(): Promise<void> {
    await cluster.client.delete(AUTHORIZATION_POLICIES, 'no-alice', 'shop');
    for (;;) {
      const { body } = await page(world, world.node('far'), 'http://127.0.0.1:15000/config_dump');
      if (!body.includes('no-alice')) return;
    }
  }

  it('know pods and identities from Kubernetes, and have certificates from istiod', async () => {
    const far = mark(tunnelOf('far'));
    expect(await workloadsOf('near')).to.deep.equal(['alice', 'ztunnel-near']);
    expect(await ask()).to.equal('knock');
    expect(await workloadsOf('near')).to.deep.equal(['alice', 'shop', 'ztunnel-near']);
    expect(await workloadsOf('far')).to.include.members(['alice', 'ztunnel-near', 'shop']);
    const line = await accessLine(far, /src\.workload="alice"/);
    expect(line.get('src.identity')).to.equal('spiffe://cluster.local/ns/shop/sa/alice');
    expect(line.get('dst.workload')).to.equal('shop');
    const ready = await page(world, world.node('near'), 'http://127.0.0.1:15021/healthz/ready');
    expect(ready.status).to.equal(200);
  });

  it('leave connections to others alone, as soon as istiod has said that nobody of the mesh has the address', async () => {
    const near = mark(tunnelOf('near'));
    const { ipv4: ip } = world.node('far');
    expect(await dialed({ ip, port: 9 })).to.equal('ECONNRESET');
    const line = await accessLine(near, /dst\.addr=.*:9 .* error=/);
    expect(line.get('error')).to.match(/^connection failed: connection refused/);
  });

  it('cut what a new policy with a selector forbids, and let nothing new in', async () => {
    const held = await open(world.pod('alice'));
    await sockets.carry(held.client, held.server, 'here');
    const far = mark(tunnelOf('far'));
    await cluster.client.create(AUTHORIZATION_POLICIES, noAlice);
    expect(await sockets.receive(held.client)).to.equal('ECONNRESET');
    expect(await sockets.receive(held.server)).to.equal('ECONNRESET');
    const line = await accessLine(far, /src\.workload="alice".* error=".* policy change/);
    expect(line.get('policy')).to.equal('shop/no-alice');
    expect(await ask()).to.equal('ECONNRESET');
    await policyGone();
    expect(await ask()).to.equal('knock');
  });

  it('hand over to a successor, which reads the mesh itself, and waits for istiod with that', async () => {
    const { discovery } = istiod.ports;
    const held = await open(world.pod('alice'));
    await istiod.stop();
    const tunnel = tunnelOf('far');
    const successor = tunnel.startSuccessor();
    expect(await sockets.carry(held.client, held.server, 'waiting')).to.equal('waiting');
    expect(await ask()).to.equal('knock');
    istiod = await startIstiod(discovery);
    await successor;
    expect(await sockets.carry(held.client, held.server, 'moved')).to.equal('moved');
    expect(await ask()).to.equal('knock');
    await cluster.client.create(AUTHORIZATION_POLICIES, noAlice);
    expect(await sockets.receive(held.client)).to.equal('ECONNRESET');
    await policyGone();
  });

  it('go on while istiod is away, and catch up when it is back', async () => {
    const { discovery } = istiod.ports;
    const held = await open(world.pod('alice'));
    const near = mark(tunnelOf('near'));
    await istiod.stop();
    await near.process.waitFor(/no control plane/, 10_000, near.after);
    expect(await sockets.carry(held.client, held.server, 'still')).to.equal('still');
    expect(await ask()).to.equal('knock');
    await cluster.client.create(AUTHORIZATION_POLICIES, noAlice);
    istiod = await startIstiod(discovery);
    expect(await sockets.receive(held.client)).to.equal('ECONNRESET');
    await policyGone();
  });
});
