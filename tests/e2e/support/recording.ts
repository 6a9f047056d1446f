import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { expect } from 'chai';

import { ipToBytes, parseIp } from '#common/net/address.ts';
import { program, type Running, start } from '#tests/bed/process.ts';
import { readTcpPackets } from '#tests/demo/tcp-packets.ts';

import type { Home, MeshCluster } from './mesh-cluster.ts';

const RECORDER_DEADLINE_MS = 60_000;

/** What has passed an interface. */
export interface Recording {
  contains(word: string): boolean;
  /** Packets from one of these pods to another. */
  between(homes: readonly Home[]): ReturnType<typeof readTcpPackets>;
  to(ip: string): number;
}

/** What passes eth0 in each of these places, by their names, while something is done. */
export async function recordAll(
  mesh: MeshCluster,
  places: readonly Home[],
  action: () => Promise<void>,
): Promise<ReadonlyMap<string, Recording>> {
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
