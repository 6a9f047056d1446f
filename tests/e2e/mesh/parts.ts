import { expect } from 'chai';
import { it } from 'mocha';

import { MESH, type MeshCluster, MODE, NODES } from '../support/mesh-cluster.ts';
import { account, ECHO, echoPod, SHOP, type Stage, untilEnrolled } from './stage.ts';

const AGENT = 'daemonset/istio-cni-node';
const TUNNEL = 'daemonset/ztunnel';
const LATER = 'later';

export function theParts(on: () => Stage): void {
  it('are restarted, all at the same time, and nobody notices', async () => {
    const stage = on();
    const { mesh, till, guest, desk, nook } = stage;
    const calls = [
      [till, desk],
      [guest, desk],
      [desk, nook],
      [till, nook],
    ] as const;
    const open = await Promise.all(
      calls.map(([from, to]) => mesh.open(from, { ip: to.ip, port: ECHO })),
    );
    await mesh.kubectl.must(['rollout', 'restart', '-n', MESH, AGENT, TUNNEL]);
    for (const part of [AGENT, TUNNEL]) await mesh.rolledOut(part);
    for (const fd of open) expect(await mesh.isAlive(fd)).to.equal(true);
    for (const [from, to] of calls) {
      expect(await mesh.knock(from, { ip: to.ip, port: ECHO })).to.equal('served');
    }
    // What was taken over is judged by those who have it now.
    await mesh.apply(JSON.stringify(denyGuest()));
    const [held, denied] = open;
    if (held === undefined || denied === undefined) throw new Error('unreachable');
    expect(await mesh.sockets.receive(denied)).to.equal('ECONNRESET');
    expect(await mesh.isAlive(held)).to.equal(true);
    await mesh.kubectl.must(['delete', '-f', '-'], JSON.stringify(denyGuest()));
    await mesh.untilServed(guest, { ip: desk.ip, port: ECHO });
    for (const fd of open) mesh.sockets.close(fd);
  });

  it('are there again when one is killed: what it carried is reset, and nothing goes past it', async () => {
    const stage = on();
    const { mesh, till, desk, nook } = stage;
    const echo = { ip: desk.ip, port: ECHO };
    const carried = await mesh.open(till, echo);
    const elsewhere = await mesh.open(till, { ip: nook.ip, port: ECHO });
    const tunnel = await mesh.tunnel(desk.node);
    mesh.kill(tunnel);
    expect(await mesh.sockets.receive(carried, 'the reset')).to.equal('ECONNRESET');
    await mesh.until('the next one serves', async () => {
      const client = await mesh.sockets.mustDial(till, echo);
      try {
        expect(await mesh.isTunneled(till, client)).to.equal(true);
        return await mesh.isAlive(client);
      } finally {
        mesh.sockets.close(client);
      }
    });
    const { status } = await mesh.pod(MESH, tunnel.name);
    expect(status?.containerStatuses?.map(({ restartCount }) => restartCount)).to.deep.equal([1]);
    expect(await mesh.isAlive(elsewhere)).to.equal(true);
    for (const fd of [carried, elsewhere]) mesh.sockets.close(fd);
  });

  it('are needed for a pod of the mesh to start, and its events say which is missing', async () => {
    const stage = on();
    const { mesh, till, guest, desk } = stage;
    const held = await mesh.open(till, { ip: desk.ip, port: ECHO });
    await withdraw(mesh, AGENT, 'k8s-app=istio-cni-node');
    await createLater(mesh);
    await mesh.untilEvent(SHOP, LATER, /see whether the istio-cni-node pod of this node runs/);
    expect(await mesh.kubectl.must(['describe', 'pod', '-n', SHOP, LATER])).to.match(
      /Warning +FailedCreatePodSandBox .*failed to contact node Istio CNI agent/,
    );
    expect(await mesh.isAlive(held)).to.equal(true);
    expect(await mesh.knock(till, { ip: desk.ip, port: ECHO })).to.equal('served');
    // Nobody acts on that yet.
    await mesh.kubectl.must(['label', 'pod', '-n', SHOP, 'guest', `${MODE}=none`]);
    mesh.sockets.close(held);
    await withdraw(mesh, TUNNEL, 'app=ztunnel');
    await restore(mesh, AGENT);
    await mesh.untilRedirected(SHOP, ['guest'], undefined);
    await mesh.untilEvent(SHOP, LATER, /refuses pod shop\/later: no ztunnel is connected/);
    // Nothing goes past where it was.
    expect(await mesh.knock(till, { ip: desk.ip, port: ECHO })).to.equal('ECONNREFUSED');
    await restore(mesh, TUNNEL);
    await mesh.ready(SHOP, LATER);
    for (const ip of [desk.ip, await mesh.addressOf(SHOP, LATER)]) {
      await mesh.untilServed(till, { ip, port: ECHO });
    }
    await mesh.kubectl.must(['label', 'pod', '-n', SHOP, 'guest', `${MODE}-`]);
    await mesh.kubectl.must(['delete', 'pod', '-n', SHOP, LATER]);
    await untilEnrolled(mesh);
    expect(await mesh.knock(guest, { ip: desk.ip, port: ECHO })).to.equal('served');
  });

  it('go on without the control plane, which catches up when it is back', async () => {
    const stage = on();
    const { mesh, till, guest, desk } = stage;
    const held = await mesh.open(guest, { ip: desk.ip, port: ECHO });
    await mesh.kubectl.must(['scale', '-n', MESH, 'deployment/istiod', '--replicas=0']);
    await mesh.untilGone(MESH, 'app=istiod');
    await mesh.apply(JSON.stringify(denyGuest()));
    await createLater(mesh);
    await mesh.ready(SHOP, LATER);
    const later = await mesh.home(SHOP, LATER);
    // Who it is, nobody knows yet: not even its own node tunnel.
    const unknown = await Promise.all([
      mesh.knock(later, { ip: desk.ip, port: ECHO }),
      mesh.knock(till, { ip: later.ip, port: ECHO }),
    ]);
    expect(unknown).to.not.include('served');
    expect(await mesh.isAlive(held)).to.equal(true);
    for (const from of [till, guest]) {
      expect(await mesh.knock(from, { ip: desk.ip, port: ECHO })).to.equal('served');
    }
    await mesh.kubectl.must(['scale', '-n', MESH, 'deployment/istiod', '--replicas=1']);
    expect(await mesh.sockets.receive(held, 'the cut that was ordered meanwhile')).to.equal(
      'ECONNRESET',
    );
    await mesh.untilServed(later, { ip: desk.ip, port: ECHO });
    await mesh.untilServed(till, { ip: later.ip, port: ECHO });
    await mesh.kubectl.must(['delete', '-f', '-'], JSON.stringify(denyGuest()));
    await mesh.untilServed(guest, { ip: desk.ip, port: ECHO });
    await mesh.kubectl.must(['delete', 'pod', '-n', SHOP, LATER]);
    mesh.sockets.close(held);
  });
}

async function createLater(mesh: MeshCluster): Promise<void> {
  await mesh.apply(JSON.stringify(account(LATER)));
  await mesh.apply(JSON.stringify(echoPod(LATER, NODES[1])));
}

/** Takes a part off all nodes, and keeps its DaemonSet. */
async function withdraw(mesh: MeshCluster, part: string, selector: string): Promise<void> {
  await select(mesh, part, { nowhere: 'yes' });
  await mesh.untilGone(MESH, selector);
}

async function restore(mesh: MeshCluster, part: string): Promise<void> {
  await select(mesh, part, { nowhere: null });
  await mesh.rolledOut(part);
}

async function select(mesh: MeshCluster, part: string, nodeSelector: object): Promise<void> {
  const patch = JSON.stringify({ spec: { template: { spec: { nodeSelector } } } });
  await mesh.kubectl.must(['patch', '-n', MESH, part, '--type', 'merge', '-p', patch]);
}

function denyGuest(): object {
  return {
    apiVersion: 'security.istio.io/v1',
    kind: 'AuthorizationPolicy',
    metadata: { name: 'no-guest', namespace: SHOP },
    spec: {
      selector: { matchLabels: { app: 'desk' } },
      action: 'DENY',
      rules: [{ from: [{ source: { principals: [`cluster.local/ns/${SHOP}/sa/guest`] } }] }],
    },
  };
}
