import { once } from 'node:events';
import { createServer } from 'node:http';
import { createSecureServer, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import { connect } from 'node:net';

import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';

import { delta, gatewayAt, ports, service, serving, workload } from '#tests/support/mesh.ts';
import type { TestAuthority } from '#tests/support/tls-material.ts';
import { SERVICE_VIP, type TestWaypoint } from '#tests/support/waypoint.ts';
import { useWaypoint } from '#tests/support/waypoint-bench.ts';

/** Of the pod: nobody else has a tunnel port there. */
const POD_IP = '127.0.5.2';
const LARGE_BYTES = 20_000_000;
const TUNNEL_PORT = 15_008;

/** The node tunnel of a pod, made of node:http2. */
class NodeTunnel {
  readonly #server;
  readonly #sessions = new Set<ServerHttp2Session>();

  constructor(authority: TestAuthority) {
    const { chainPem, privateKeyPem, rootsPem } = authority.issue();
    this.#server = createSecureServer({
      cert: chainPem.join(''),
      key: privateKeyPem,
      ca: rootsPem,
      requestCert: true,
    });
    this.#server.on('session', (session) => {
      this.#sessions.add(session);
      session.on('error', () => undefined);
    });
    this.#server.on('stream', (stream: ServerHttp2Stream, headers) => {
      const [ip, port] = String(headers[':authority']).split(':');
      const socket = connect(Number(port), ip);
      socket.on('error', () => stream.close());
      stream.on('error', () => undefined);
      stream.on('close', () => socket.destroy());
      socket.on('connect', () => {
        stream.respond({ ':status': 200 });
        stream.pipe(socket).pipe(stream);
      });
    });
  }

  async listen(): Promise<void> {
    this.#server.listen(TUNNEL_PORT, POD_IP);
    await once(this.#server, 'listening');
  }

  /** How many tunnels have come. */
  get tunnels(): number {
    return this.#sessions.size;
  }

  close(): void {
    for (const session of this.#sessions) session.destroy();
    this.#server.close();
  }
}

describe('A waypoint before an ambient pod', () => {
  const bench = useWaypoint();
  let waypoint: TestWaypoint;
  let node: NodeTunnel;

  beforeEach(async () => {
    const app = createServer((request, response) => {
      response.end(request.url === '/large' ? Buffer.alloc(LARGE_BYTES) : 'small');
    });
    node = new NodeTunnel(bench.authority);
    const [{ port }] = await Promise.all([bench.listen(app, POD_IP), node.listen()]);
    waypoint = bench.open();
    const waypointAt = gatewayAt('/127.0.0.9');
    const shop = service('shop.default.svc.cluster.local', SERVICE_VIP, { waypoint: waypointAt });
    const how = { protocol: 'HBONE', serviceAccount: 'app' } as const;
    const pod = serving(workload('shop-0', POD_IP, how), [shop, ports({ 80: port })]);
    const self = workload('waypoint', '127.0.0.9', { ...how, serviceAccount: 'waypoint' });
    waypoint.plane.applyMesh(delta({ upsertServices: [shop], upsertWorkloads: [self, pod] }));
  });
  afterEach(() => node.close());

  it('serves others while clients do not read their answers, on one tunnel for all', async () => {
    for (let stalled = 0; stalled < 8; stalled++) {
      const { stream } = await waypoint.connect();
      stream.write('GET /large HTTP/1.1\r\nhost: shop\r\n\r\n');
      // The answer has begun; the rest of it is never read.
      await once(stream, 'readable');
    }
    const client = await waypoint.connect();
    expect(await client.ask('/')).to.include({ status: 200, body: 'small' });
    expect(node.tunnels).to.equal(1);
  });
});
