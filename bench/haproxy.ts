import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { must } from '#tests/bed/process.ts';

import { type Forward, renderHaproxyConfig, type Side, type SideFiles } from './haproxy-config.ts';
import type { Path } from './measure.ts';
import { type BenchWorld, STREAM_PORT, WEB_PORT } from './world.ts';

const WEB = { client: 9080, between: 9443 };
const STREAM = { client: 9201, between: 9444 };

/** Starts one haproxy in each pod, with mutual TLS 1.3 between them. They end with the world. */
export async function startHaproxies(bench: BenchWorld): Promise<Path> {
  const { world, client, server } = bench;
  const directory = join(world.directory, 'haproxy');
  mkdirSync(directory);
  await makeCertificates(directory);
  const launch = (side: Side, forwards: readonly Forward[]): number => {
    const config = join(directory, `${side}.cfg`);
    writeFileSync(config, renderHaproxyConfig(side, filesOf(directory, side), forwards));
    const pod = side === 'client' ? client : server;
    return world.start(pod, ['haproxy', '-db', '-f', config]).pid;
  };
  const pids = [
    launch('client', [
      forward('web', [client.ipv4, WEB.client], [server.ipv4, WEB.between]),
      forward('stream', [client.ipv4, STREAM.client], [server.ipv4, STREAM.between]),
    ]),
    launch('server', [
      forward('web', [server.ipv4, WEB.between], [server.ipv4, WEB_PORT]),
      forward('stream', [server.ipv4, STREAM.between], [server.ipv4, STREAM_PORT]),
    ]),
  ];
  return { pids, address: client.ipv4, webPort: WEB.client, streamPort: STREAM.client };
}

function forward(
  name: string,
  bind: readonly [address: string, port: number],
  server: readonly [address: string, port: number],
): Forward {
  return { name, bind: bind.join(':'), server: server.join(':') };
}

function filesOf(directory: string, side: Side): SideFiles {
  return { certificate: join(directory, `${side}.pem`), authority: join(directory, 'ca.pem') };
}

/** An authority and one certificate for each side, with keys of the same kind as workloads have: ECDSA P-256. */
async function makeCertificates(directory: string): Promise<void> {
  const key = '-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes';
  const openssl = async (line: string): Promise<string> =>
    must(['openssl', ...line.split(' ')], { cwd: directory });
  await openssl(`req -x509 ${key} -keyout ca.key -out ca.pem -days 2 -subj /CN=authority`);
  for (const side of ['client', 'server'] as const) {
    await openssl(`req ${key} -keyout ${side}.key -out ${side}.csr -subj /CN=${side}`);
    const authority = '-CA ca.pem -CAkey ca.key -CAcreateserial';
    const chain = await openssl(`x509 -req -in ${side}.csr ${authority} -days 2`);
    const privateKey = readFileSync(join(directory, `${side}.key`), 'utf8');
    writeFileSync(join(directory, `${side}.pem`), chain + privateKey);
  }
}
