import { expect } from 'chai';
import { it } from 'mocha';

import { joinStreams, tlsRecordsOf } from '#tests/demo/tcp-packets.ts';

import type { Home, MeshCluster } from '../support/mesh-cluster.ts';
import { recordAll } from '../support/recording.ts';
import { ECHO, enrolShop, SERVICE_ECHO, type Stage } from './stage.ts';

const WORD = 'xyzzy-plugh';
const HBONE = 15_008;

export function theWire(on: () => Stage): void {
  it('shows what pods say before the label, and no word of it after; then between nodes there is only port 15008', async () => {
    const stage = on();
    const { mesh, till, desk, nook, service } = stage;
    // Both ends of the wire between the nodes, and a pod that is called from its own node.
    const places = [...stage.wires.values(), nook];
    const before = await recordAll(mesh, places, () => sayEverywhere(stage));
    for (const [place, recording] of before) {
      expect(recording.contains(WORD), place).to.equal(true);
    }
    // Opened before: goes on as it is.
    const earlier = await mesh.open(till, { ip: desk.ip, port: ECHO });
    await enrolShop(stage);
    expect(await mesh.isAlive(earlier)).to.equal(true);
    expect(await mesh.isTunneled(till, earlier)).to.equal(false);
    mesh.sockets.close(earlier);
    const after = await recordAll(mesh, places, () => sayEverywhere(stage));
    for (const [place, recording] of after) {
      expect(recording.contains(WORD), place).to.equal(false);
      const packets = recording.between([till, nook, desk]);
      expect(packets.length, place).to.be.above(0);
      const ports = packets.filter(
        ({ fromPort, toPort }) => fromPort !== HBONE && toPort !== HBONE,
      );
      expect(ports, place).to.deep.equal([]);
      expect(tlsRecordsOf(joinStreams(packets)), place).to.contain('application data');
      // It is chosen before the wire who answers for it.
      expect(recording.to(service), place).to.equal(0);
    }
  });
}

/** Each pair of nodes and each direction, on one node, and by the service's address. */
async function sayEverywhere({ mesh, till, nook, desk, service }: Stage): Promise<void> {
  await say(mesh, till, desk.ip, ECHO);
  await say(mesh, till, service, SERVICE_ECHO);
  await say(mesh, desk, nook.ip, ECHO);
  await say(mesh, till, nook.ip, ECHO);
}

async function say(mesh: MeshCluster, from: Home, ip: string, port: number): Promise<void> {
  const client = await mesh.sockets.mustDial(from, { ip, port });
  expect(await mesh.sockets.carry(client, client, WORD)).to.equal(WORD);
  mesh.sockets.close(client);
}
