import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';

import { PODS } from '#kube/resources.ts';
import { localAddress, peerAddress } from '#linux/socket.ts';
import type { Pod } from '#tests/bed/world.ts';

import { AgentBed } from './support/agent-bed.ts';

// The node agent, the node tunnel and the CNI plugin as programs; pods that come, live and go.
describe('the node agent', function () {
  this.timeout(120_000);
  let bed: AgentBed;
  let till: Pod;
  let shop: Pod;
  let late: Pod;
  let port = 7_000;

  before(async () => {
    bed = await AgentBed.start('ambit-agent', ['till', 'shop', 'late']);
    [till, shop, late] = ['till', 'shop', 'late'].map((name) => bed.world.pod(name)) as [
      Pod,
      Pod,
      Pod,
    ];
  });

  after(async () => {
    await bed[Symbol.asyncDispose]();
  });

  /** A connection from till to shop, and whether it went through the node tunnel. */
  async function open(): Promise<{ client: number; server: number; tunneled: boolean }> {
    port++;
    const listener = bed.sockets.listen(shop, { port });
    const client = await bed.sockets.mustDial(till, { ip: shop.ipv4, port });
    const server = await bed.sockets.accept(listener);
    expect(peerAddress(server)?.ip).to.equal(till.ipv4);
    expect(await bed.sockets.carry(client, server, 'request')).to.equal('request');
    // The tunnel's end of a connection that was redirected to it.
    const from = localAddress(client)?.port;
    const found = `sport = :15001 and dport = :${from}`;
    const { stdout } = await bed.world.run(till, ['ss', '-tnH', 'state', 'established', found]);
    return { client, server, tunneled: stdout.trim() !== '' };
  }

  async function isAlive({ client, server }: { client: number; server: number }): Promise<void> {
    expect(await bed.sockets.carry(client, server, 'still')).to.equal('still');
    expect(await bed.sockets.carry(server, client, 'here')).to.equal('here');
  }

  it('puts the plugin behind those of the node, and is ready then', async () => {
    await bed.startAgent();
    expect(bed.plugins().map(({ type }) => type)).to.deep.equal(['bed-main', 'istio-cni']);
  });

  it('lets a pod outside the mesh start, without rules', async () => {
    const { metadata } = await bed.create(till);
    const { code, answer } = await bed.addByPlugin(till, metadata.uid);
    expect([code, answer['ips']]).to.deep.equal([0, [{ address: `${till.ipv4}/32` }]]);
    expect(await bed.rules(till)).to.equal('');
    await bed.running(till);
  });

  it('keeps a pod of the mesh from starting while there is no node tunnel', async () => {
    await bed.label('ambient');
    await bed.create(shop);
    const { code, answer } = await bed.addByPlugin(shop);
    expect(code).to.equal(1);
    expect(answer['msg']).to.contain('refuses pod shop/shop: no ztunnel is connected');
    expect(await bed.rules(shop)).to.equal('');
    expect(await bed.annotation(shop)).to.equal(undefined);
    await bed.told(
      shop,
      'Warning MeshEnrollmentFailed: Cannot start in the mesh: no ztunnel is connected',
    );
  });

  it('says of a running pod that it waits for a node tunnel, and enrols it when that comes', async () => {
    await bed.annotated(till, 'pending');
    await bed.startTunnel();
    await bed.annotated(till, 'enabled');
    expect(await bed.rules(till)).to.contain('redirect to :15001');
    await bed.told(
      till,
      'Warning MeshEnrollmentFailed: Not yet in the mesh: no ztunnel is connected',
    );
    await bed.told(
      till,
      'Normal EnrolledInMesh: Connections from and to this pod pass through the node tunnel',
    );
  });

  it('lets a pod of the mesh start when the node tunnel serves it', async () => {
    const { code } = await bed.addByPlugin(shop);
    expect(code).to.equal(0);
    expect(await bed.annotation(shop)).to.equal('enabled');
    const { metadata } = await bed.client.get(PODS, shop.name, shop.namespace);
    expect(metadata.managedFields?.map(({ manager }) => manager)).to.include('install-cni');
    await bed.running(shop);
    expect((await open()).tunneled).to.equal(true);
  });

  it('lets the probes of the node reach the app, from an address of their own', async () => {
    const listener = bed.sockets.listen(shop, { port: 6_999 });
    await bed.sockets.mustDial(bed.node, { ip: shop.ipv4, port: 6_999 });
    const accepted = await bed.sockets.accept(listener);
    expect(peerAddress(accepted)?.ip).to.equal('169.254.7.127');
  });

  it('lets a pod leave live: what is open stays open, what is new goes past the tunnel', async () => {
    const earlier = await open();
    expect(earlier.tunneled).to.equal(true);
    await bed.label(null);
    await bed.annotated(till, undefined);
    await isAlive(earlier);
    // At once, also from the node.
    expect((await open()).tunneled).to.equal(false);
    const listener = bed.sockets.listen(shop, { port: 6_998 });
    await bed.sockets.mustDial(bed.node, { ip: shop.ipv4, port: 6_998 });
    expect(peerAddress(await bed.sockets.accept(listener))?.ip).to.not.equal('169.254.7.127');
    expect(await bed.rules(till)).to.not.equal('');
    bed.sockets.close(earlier.client);
    await bed.until('no rule is left', async () => (await bed.rules(till)) === '');
    expect((await open()).tunneled).to.equal(false);
    const rules = await bed.world.run(till, ['ip', 'rule', 'show', 'pref', '32764']);
    expect(rules.stdout).to.equal('');
  });

  it('brings a pod in live: what is open stays open, what is new goes through the tunnel', async () => {
    const earlier = await open();
    await bed.label('ambient');
    await bed.annotated(till, 'enabled');
    await bed.annotated(shop, 'enabled');
    await isAlive(earlier);
    expect((await open()).tunneled).to.equal(true);
  });

  it('lets go of a pod that is deleted, and does not take the next one of its name for it', async () => {
    const first = await bed.create(late);
    expect((await bed.addByPlugin(late, first.metadata.uid)).code).to.equal(0);
    expect(await probed()).to.contain(`${late.ipv4} comment "${first.metadata.uid}"`);
    await bed.delete(late);
    await bed.until('it is forgotten', async () => !(await probed()).includes(late.ipv4));
    const second = await bed.create(late);
    const { code, answer } = await bed.addByPlugin(late, first.metadata.uid);
    expect([code, answer['msg']]).to.satisfy(
      ([exit, why]: [number, string]) => exit === 1 && why.includes('is not known'),
    );
    expect((await bed.addByPlugin(late, second.metadata.uid)).code).to.equal(0);
    await bed.delete(late);
    await bed.until('it is forgotten', async () => !(await probed()).includes(late.ipv4));
  });

  /** The node's rule for health probes. */
  async function probed(): Promise<string> {
    const command = ['nft', 'list', 'table', 'inet', 'ambit-node'];
    return (await bed.world.run(bed.node, command)).stdout;
  }

  it('puts right what others remove', async () => {
    await bed.world.run(till, ['nft', 'flush', 'ruleset']);
    await bed.world.run(bed.node, ['nft', 'flush', 'ruleset']);
    await bed.until('the rules are back', async () => (await bed.rules(till)) !== '');
    await bed.world.run(till, ['ip', 'route', 'flush', 'table', '100']);
    await bed.until('the route is back', async () => {
      const { stdout } = await bed.world.run(till, ['ip', 'route', 'show', 'table', '100']);
      return stdout.includes('local default');
    });
    await bed.until('the rules of the node are back', async () => {
      const { stdout } = await bed.world.run(bed.node, ['nft', 'list', 'ruleset']);
      return stdout.includes(`${till.ipv4} comment`);
    });
  });

  it('puts its plugin back behind those of the node', async () => {
    bed.writeConflist();
    await bed.until('the plugin is back', async () => bed.plugins().length === 2);
  });

  it('hands all pods to a node tunnel that starts anew', async () => {
    await bed.stopTunnel();
    await bed.startTunnel();
    expect((await open()).tunneled).to.equal(true);
  });

  it('restarts without a trace in the pods, and leaves the plugin to the agent that follows', async () => {
    const earlier = await open();
    await bed.stopAgent();
    expect(bed.plugins().map(({ type }) => type)).to.deep.equal(['bed-main', 'istio-cni']);
    await isAlive(earlier);
    expect((await open()).tunneled).to.equal(true);
    await bed.startAgent();
    expect(await bed.annotation(till)).to.equal('enabled');
    await isAlive(earlier);
    expect((await open()).tunneled).to.equal(true);
  });

  it('lets no pod of the mesh start while it is away', async () => {
    bed.agent.signal('SIGKILL');
    await bed.agent.exited;
    await bed.create(late);
    const { code, answer } = await bed.addByPlugin(late);
    expect(code).to.equal(1);
    expect(answer['msg']).to.contain(
      'pod shop/late belongs to the mesh and does not start outside',
    );
    await bed.delete(late);
    await bed.startAgent();
  });

  it('takes pods out of the mesh when it is uninstalled: what is open stays open for a while', async () => {
    const earlier = await open();
    expect(earlier.tunneled).to.equal(true);
    await bed.deleteDaemonSet();
    const ended = bed.stopAgent();
    await bed.annotated(till, undefined);
    await bed.annotated(shop, undefined);
    await isAlive(earlier);
    expect((await open()).tunneled).to.equal(false);
    await ended;
    await isClean();
    expect((await open()).tunneled).to.equal(false);
  });

  it('does so, too, when its permissions have gone before it', async () => {
    await bed.createDaemonSet();
    await bed.startAgent({ AMBIENT_DRAIN_TIME: '1s' });
    await bed.annotated(till, 'enabled');
    await bed.annotated(shop, 'enabled');
    expect((await open()).tunneled).to.equal(true);
    await bed.uninstall();
    await bed.stopAgent();
    await isClean();
    expect((await open()).tunneled).to.equal(false);
  });

  /** Nothing of the mesh is left on the node. */
  async function isClean(): Promise<void> {
    expect(bed.plugins().map(({ type }) => type)).to.deep.equal(['bed-main']);
    expect(await probed()).to.equal('');
    for (const pod of [till, shop]) {
      expect(await bed.rules(pod)).to.equal('');
      const routes = await bed.world.run(pod, ['ip', 'rule', 'show', 'pref', '32764']);
      expect(routes.stdout).to.equal('');
    }
  }
});
