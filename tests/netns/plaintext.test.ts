import { expect } from 'chai';
import { after, beforeEach, describe, it } from 'mocha';

import { writeMeshConfiguration } from '#tests/bed/mesh-configuration.ts';
import type { Pod } from '#tests/bed/world.ts';

import { accessLine, Mesh, mark } from './support/mesh.ts';

const PORT = 7_000;
const WAIT_MS = 5_000;

// till (not in the mesh), shop: on one node. The configuration does not have the shop yet.
describe('a call in plaintext to a pod that the mesh does not know yet', function () {
  this.timeout(30_000);
  let mesh: Mesh | undefined;
  let till: Pod;
  let shop: Pod;

  beforeEach(async () => {
    await mesh?.[Symbol.asyncDispose]();
    mesh = await Mesh.start({
      prefix: 'ambit-plaintext',
      nodes: [{ name: 'one', pods: [{ name: 'till' }, { name: 'shop' }] }],
      outside: ['till'],
      unknown: ['shop'],
    });
    [till, shop] = [mesh.pod('till'), mesh.pod('shop')];
  });
  after(async () => mesh?.[Symbol.asyncDispose]());

  function inMesh(): Mesh {
    if (mesh === undefined) throw new Error('The mesh runs while tests run');
    return mesh;
  }

  it('arrives as soon as the pod is known', async () => {
    const { sockets, world } = inMesh();
    const from = mark(inMesh().tunnel('one'));
    const listener = inMesh().listen(shop, PORT);
    const client = await sockets.mustDial(till, { ip: shop.ipv4, port: PORT });
    sockets.send(client, 'early');
    writeMeshConfiguration(world, { outside: ['till'] });
    const server = await sockets.accept(listener);
    expect(await sockets.receive(server)).to.equal('early');
    expect(await sockets.carry(server, client, 'welcome')).to.equal('welcome');
    await inMesh().close({ client, server });
    const line = await accessLine(from, /dst\.workload="shop"/);
    expect(line.get('message')).to.equal('connection complete');
    expect(line.get('src.workload')).to.equal('till');
  });

  it('is refused after 5 s, and the log says why', async () => {
    const { sockets } = inMesh();
    const from = mark(inMesh().tunnel('one'));
    const startMs = performance.now();
    const client = await sockets.mustDial(till, { ip: shop.ipv4, port: PORT });
    const line = await accessLine(from, /connection failed/, 2 * WAIT_MS);
    expect(performance.now() - startMs).to.be.at.least(WAIT_MS - 100);
    expect(line.get('error')).to.equal(
      'failed to fetch information about local workload: default/shop',
    );
    expect(await sockets.receive(client)).to.equal('ECONNRESET');
  });
});
