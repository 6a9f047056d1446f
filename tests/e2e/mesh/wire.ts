import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { expect } from 'chai';
import { it } from 'mocha';

import { ipToBytes, parseIp } from '#common/net/address.ts';
import { program, type Running, start } from '#tests/bed/process.ts';
import { joinStreams, readTcpPackets, tlsRecordsOf } from '#tests/demo/tcp-packets.ts';

import type { Home, MeshCluster } from '../support/mesh-cluster.ts';
import { ECHO, enrolShop, SERVICE_ECHO, type Stage } from './stage.ts';

const WORD = 'xyzzy-plugh';
const HBONE = 15_008;
const RECORDER_DEADLINE_MS = 60_000;

export function theWire(on: () => Stage): void {
  it('shows what pods say before the label, and no word of it after; then between nodes there is only port 15008', async () => {
    const stage = on();
    const { mesh, till, desk, nook, service } = stage;
    const before = await recordAll(stage, () => sayEverywhere(stage));
    for (const [place, recording] of before) {
      expect(recording.contains(WORD), place).to.equal(true);
    }
    // Opened before: goes on as it is.
    const earlier = await mesh.open(till, { ip: desk.ip, port: ECHO });
    await enrolShop(stage);
    expect(await mesh.isAlive(earlier)).to.equal(true);
    expect(await mesh.isTunneled(till, earlier)).to.equal(false);
    mesh.sockets.close(earlier);
    const after = await recordAll(stage, () => sayEverywhere(stage));
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

interface Recording {
  contains(word: string): boolean;
  between(homes: readonly Home[]): ReturnType<typeof readTcpPackets>;
  to(ip: string): number;
}

/** What passes both ends of the wire between the nodes, and what enters and leaves a pod that is called from its own node. */
async function recordAll(
  { mesh, nook, wires }: Stage,
  action: () => Promise<void>,
): Promise<ReadonlyMap<string, Recording>> {
  const places = [...wires.values(), nook];
  const recorders = places.map((place) => {
    const path = join(mesh.directory, `${place.name}-${recordings++}.pcap`);
    const command = program('tests/bed/programs/capture.ts', 'eth0', path);
    return { place, path, running: start(command, { netns: place.netns }) };
  });
  try {
    for (const { running } of recorders) await running.waitFor(/^capturing$/, RECORDER_DEADLINE_MS);
    await action();
    for (const { running } of recorders) await endRecording(running);
    return new Map(recorders.map(({ place, path }) => [place.name, readRecording(path)]));
  } finally {
    await Promise.all(recorders.map(({ running }) => running.stop()));
  }
}

let recordings = 0;

async function endRecording(running: Running): Promise<void> {
  running.tell('stop');
  // With any lost, what is not found proves nothing.
  expect(await running.waitFor(/^captured /, RECORDER_DEADLINE_MS)).to.match(/ 0 lost$/);
}

function readRecording(path: string): Recording {
  const bytes = readFileSync(path);
  const packets = readTcpPackets(bytes);
  return {
    contains: (word) => bytes.includes(word),
    between: (homes) => {
      const own = homes.map(({ ip }) => hexOf(ip));
      const isOwn = (end: string): boolean => own.includes(end.split(':')[0] ?? '');
      return packets.filter(({ from, to }) => isOwn(from) && isOwn(to));
    },
    to: (ip) => packets.filter(({ to }) => to.startsWith(`${hexOf(ip)}:`)).length,
  };
}

/** As packets are read: hexadecimal digits. */
function hexOf(text: string): string {
  const ip = parseIp(text);
  if (ip === undefined) throw new Error(`"${text}" is no address`);
  return Buffer.from(ipToBytes(ip)).toString('hex');
}
