import { expect } from 'chai';
import { it } from 'mocha';

import { type AccessLogLine, findAccessLog } from '#tests/demo/access-log.ts';

import { MESH, NODES } from '../support/mesh-cluster.ts';
import { recordAll } from '../support/recording.ts';
import { OUTSIDE, SELECTOR, SHOP, type Stage, untilLogged, WAYPOINT } from './stage.ts';

const WORD = 'xyzzy-plugh';
const HBONE = 15_008;

export function theWire(on: () => Stage): void {
  it('say no word that can be read on the way: from the caller to the waypoint, and from there', async () => {
    const { mesh, till } = on();
    const [pod] = await mesh.pods(SHOP, SELECTOR);
    const name = pod?.metadata.name ?? '';
    const own = await mesh.homes(SHOP, 'till', name, 'peer-v1', 'peer-v2');
    const wires = await mesh.homes(OUTSIDE, ...NODES.map((node) => `wire-${node}`));
    const places = [...wires, ...own];
    const say = async (): Promise<void> => {
      for (const url of ['http://peer', 'http://peer:81', 'http://peer-v2']) {
        const heard = await till.curl('-d', WORD, '-H', `x-word: ${WORD}`, `${url}/${WORD}`);
        expect(heard, url).to.include(`"body":"${WORD}"`);
      }
      const call = { target: 'peer:82', method: 'Say', texts: [WORD] } as const;
      expect((await till.do('grpcCall', call)).texts).to.deep.equal([`v1: ${WORD}`]);
      const turns = [{ say: WORD }, { until: WORD }];
      expect(await till.do('rawTalk', { host: 'peer', port: 90, turns })).to.include({
        heard: WORD,
      });
    };
    const recordings = await recordAll(mesh, places, say);
    for (const [place, recording] of recordings) {
      expect(recording.contains(WORD), place).to.equal(false);
      const packets = recording.between(own);
      const others = packets.filter(
        ({ fromPort, toPort }) => fromPort !== HBONE && toPort !== HBONE,
      );
      expect(others, place).to.deep.equal([]);
    }
    const seen = recordings.get(name)?.between(own) ?? [];
    expect(seen.length).to.be.above(0);
    // From outside of the mesh it can be read: so recordings show what there is.
    const target = own[2]?.ip ?? '';
    const outside = await recordAll(mesh, wires, async () => {
      const curl = ['curl', '-sS', '-m', '30', '-d', WORD, `http://${target}:8080/echo`];
      await mesh.kubectl.must(['exec', '-n', OUTSIDE, `wire-${NODES[0]}`, '--', ...curl]);
    });
    for (const [place, recording] of outside) {
      expect(recording.contains(WORD), place).to.equal(true);
    }
  });

  it('are named by the logs of the node tunnels and of the waypoint', async () => {
    const stage = on();
    const { mesh, till } = stage;
    await till.curl('http://peer/named');
    // Tunnels log connections when they end; with HTTP that can take a while.
    await till.do('rawTalk', { host: 'peer', port: 90, turns: [{ say: 'named' }] });
    await untilLogged(stage, 'path="/named"', `src.identity="${identity('till')}"`);
    const [pod] = await mesh.pods(SHOP, SELECTOR);
    const { nodeName = '' } = pod?.spec ?? {};
    // From the caller to the waypoint …
    const first = { 'src.identity': identity('till'), 'dst.identity': identity(WAYPOINT) };
    await untilTunnelLogs(stage, NODES[0], { direction: 'outbound', ...first });
    // … and from there to the server.
    const second = { 'src.identity': identity(WAYPOINT), 'dst.identity': identity('peer') };
    await untilTunnelLogs(stage, NODES[1], { direction: 'inbound', ...second });
    expect(NODES).to.include(nodeName);
  });
}

async function untilTunnelLogs(
  { mesh }: Stage,
  node: string,
  wanted: Readonly<Record<string, string>>,
): Promise<void> {
  await mesh.until(`the tunnel of ${node} logs ${JSON.stringify(wanted)}`, async () => {
    const text = await mesh.kubectl.must(['logs', '-n', MESH, await mesh.tunnelName(node)]);
    const lines: readonly AccessLogLine[] = findAccessLog(text.split('\n'), wanted);
    return lines.length > 0;
  });
}

function identity(name: string): string {
  return `spiffe://cluster.local/ns/${SHOP}/sa/${name}`;
}
