import { expect } from 'chai';
import { it } from 'mocha';

import { MODE } from '../support/mesh-cluster.ts';
import { ECHO, enrolShop, OUTSIDE, SHOP, type Stage, untilEnrolled } from './stage.ts';

export function theLabels(on: () => Stage): void {
  it('let one pod go and bring it back, and what is open stays open', async () => {
    const { mesh, till, guest, desk } = on();
    const inside = await mesh.open(guest, { ip: desk.ip, port: ECHO });
    const called = await mesh.open(till, { ip: guest.ip, port: ECHO });
    await mesh.kubectl.must(['label', 'pod', '-n', SHOP, 'guest', `${MODE}=none`]);
    await mesh.untilRedirected(SHOP, ['guest'], undefined);
    await mesh.untilTunneled(SHOP, 'till', 'nook', 'desk');
    const outside = await mesh.open(guest, { ip: desk.ip, port: ECHO });
    expect(await mesh.isTunneled(guest, outside)).to.equal(false);
    expect(await mesh.knock(till, { ip: guest.ip, port: ECHO })).to.equal('served');
    for (const fd of [inside, called]) expect(await mesh.isAlive(fd)).to.equal(true);
    await mesh.kubectl.must(['label', 'pod', '-n', SHOP, 'guest', `${MODE}-`]);
    await untilEnrolled(mesh);
    const again = await mesh.open(guest, { ip: desk.ip, port: ECHO });
    expect(await mesh.isTunneled(guest, again)).to.equal(true);
    for (const fd of [inside, called, outside, again]) {
      expect(await mesh.isAlive(fd)).to.equal(true);
      mesh.sockets.close(fd);
    }
  });

  it('let a namespace go and bring it back, and what is open stays open', async () => {
    const stage = on();
    const { mesh, till, nook, desk, stranger } = stage;
    const inside = await mesh.open(till, { ip: desk.ip, port: ECHO });
    const near = await mesh.open(till, { ip: nook.ip, port: ECHO });
    const inward = await mesh.open(stranger, { ip: desk.ip, port: ECHO });
    await mesh.kubectl.must(['label', 'namespace', SHOP, `${MODE}-`]);
    await mesh.untilRedirected(SHOP, ['till', 'guest', 'nook', 'desk'], undefined);
    await mesh.untilTunneled(SHOP);
    const outside = await mesh.open(till, { ip: desk.ip, port: ECHO });
    expect(await mesh.isTunneled(till, outside)).to.equal(false);
    for (const fd of [inside, near, inward]) expect(await mesh.isAlive(fd)).to.equal(true);
    await enrolShop(stage);
    const again = await mesh.open(till, { ip: desk.ip, port: ECHO });
    expect(await mesh.isTunneled(till, again)).to.equal(true);
    for (const fd of [inside, near, inward, outside, again]) {
      expect(await mesh.isAlive(fd)).to.equal(true);
      mesh.sockets.close(fd);
    }
  });

  it('bring a single pod in where its namespace stays outside', async () => {
    const { mesh, till, stranger } = on();
    await mesh.kubectl.must(['label', 'pod', '-n', OUTSIDE, 'stranger', `${MODE}=ambient`]);
    await mesh.untilRedirected(OUTSIDE, ['stranger'], 'enabled');
    await mesh.untilTunneled(OUTSIDE, 'stranger');
    const inside = await mesh.open(stranger, { ip: till.ip, port: ECHO });
    expect(await mesh.isTunneled(stranger, inside)).to.equal(true);
    await mesh.kubectl.must(['label', 'pod', '-n', OUTSIDE, 'stranger', `${MODE}-`]);
    await mesh.untilRedirected(OUTSIDE, ['stranger'], undefined);
    await mesh.untilTunneled(OUTSIDE);
    expect(await mesh.isAlive(inside)).to.equal(true);
    mesh.sockets.close(inside);
    expect(await mesh.knock(stranger, { ip: till.ip, port: ECHO })).to.equal('served');
  });
}
