// A program of its own, run beside the waypoint: tells it over delta xDS what it stands before, and nothing else.
// Usage: node control-plane.ts MESH ROOT PORT    MESH: a file with `MeshOfWaypoint` as JSON; ROOT: the file that gets
// the root of its own certificate. It says "ready". "rules N" on its standard input changes the routes; "ready N" says
// that the waypoint has taken them up.
import { readFileSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

import { AggregatedDiscoveryService } from '#api/gen/discovery_pb.ts';
import { GrpcServer } from '#common/grpc/server.ts';
import { TestAuthority } from '#tests/support/tls-material.ts';
import { encodeResource } from '#xds/resource.ts';
import { type ResourceSource, ServerStream } from '#xds/server-stream.ts';

import {
  addressResources,
  type MeshOfWaypoint,
  policyResources,
  type Resource,
  routeResources,
} from './resources.ts';

const ADDRESSES = 'type.googleapis.com/istio.workload.Address';
const NODE_POLICIES = 'type.googleapis.com/istio.security.Authorization';
const ROUTES = 'type.googleapis.com/ambit.waypoint.Route';
const POLICIES = 'type.googleapis.com/ambit.waypoint.Policy';
const RECEIVED_BYTES_MAX = 1 << 22;
/** Longer than any run. */
const AGE_MS = 24 * 3_600_000;
const NAME = 'localhost';

const [meshPath = '', rootPath = '', port = ''] = process.argv.slice(2);
const mesh = JSON.parse(readFileSync(meshPath, 'utf8')) as MeshOfWaypoint;

/** The resources of one type; the version counts how often they have been replaced. */
class Shelf implements ResourceSource {
  readonly typeUrl: string;
  #resources: ReadonlyMap<string, Resource> = new Map();
  #version = 0;

  constructor(typeUrl: string, resources: readonly Resource[]) {
    this.typeUrl = typeUrl;
    this.replace(resources);
  }

  /** Answers the names that have changed, come or gone. */
  replace(resources: readonly Resource[]): ReadonlySet<string> {
    const names = new Set([...this.#resources.keys(), ...resources.map(({ name }) => name)]);
    this.#resources = new Map(resources.map((resource) => [resource.name, resource]));
    this.#version++;
    return names;
  }

  *all(): Iterable<{ readonly name: string; readonly version: string }> {
    for (const name of this.#resources.keys()) yield { name, version: String(this.#version) };
  }

  encoded(name: string): Uint8Array | undefined {
    const resource = this.#resources.get(name);
    if (resource === undefined) return undefined;
    const version = String(this.#version);
    return encodeResource({ ...resource, typeUrl: this.typeUrl, version, aliases: [] });
  }

  lookup(name: string): readonly string[] {
    return this.#resources.has(name) ? [name] : [];
  }

  always(): readonly string[] {
    return [];
  }

  concerns(name: string, asked: ReadonlySet<string>): boolean {
    return asked.has(name);
  }
}

const routes = new Shelf(ROUTES, routeResources(mesh, 1));
const sources = [
  new Shelf(NODE_POLICIES, []),
  new Shelf(ADDRESSES, addressResources(mesh)),
  new Shelf(POLICIES, policyResources(mesh)),
  routes,
];
const streams = new Set<ServerStream>();
/** What is to be said when every stream has acknowledged the routes. */
let owed: string | undefined;

const grpc = new GrpcServer({
  receivedMessageBytesMax: RECEIVED_BYTES_MAX,
  connectionAgeMs: AGE_MS,
});
grpc.addStreaming(
  AggregatedDiscoveryService.method.deltaAggregatedResources,
  (_context, outlet) => {
    const stream = new ServerStream({
      sources,
      send: (message) => outlet.write(message),
      now: Date.now,
      version: () => 'bench',
      onRefused: (typeUrl, message) => say(`refused ${typeUrl}: ${message}`),
      onStale: () => undefined,
    });
    streams.add(stream);
    return {
      onMessage(request) {
        stream.receive(request);
        settle();
      },
      onDrained: () => stream.resume(),
      onClosed: () => streams.delete(stream),
    };
  },
);

const authority = new TestAuthority();
const { chainPem, privateKeyPem } = authority.issue({ names: { dns: [NAME] } });
writeFileSync(rootPath, authority.rootPem);
await grpc.listen('127.0.0.1', Number(port), { chainPem: chainPem.join(''), privateKeyPem });
createInterface({ input: process.stdin }).on('line', (line) => {
  const rules = Number(/^rules (\d+)$/.exec(line)?.[1]);
  const changed = routes.replace(routeResources(mesh, rules));
  owed = `ready ${rules}`;
  for (const stream of streams) stream.push(new Map([[ROUTES, changed]]));
});
say('ready');

function settle(): void {
  if (owed === undefined) return;
  const statuses = [...streams].flatMap((stream) => stream.status());
  if (statuses.some(({ refusal }) => refusal !== undefined)) return;
  const pending = statuses.some(
    (each) => each.typeUrl === ROUTES && each.sent !== each.acknowledged,
  );
  if (pending) return;
  say(owed);
  owed = undefined;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
