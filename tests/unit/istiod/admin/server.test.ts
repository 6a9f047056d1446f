import { create } from '@bufbuild/protobuf';
import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { DeltaDiscoveryRequestSchema } from '#api/gen/discovery_pb.ts';
import type { AdminServer } from '#common/http/admin-server.ts';
import { MetricsRegistry } from '#common/metrics/registry.ts';
import { openAdmin } from '#istiod/admin/server.ts';
import { SigningCounters } from '#istiod/ca/counters.ts';
import { Client } from '#istiod/serve/clients.ts';
import { DiscoveryCounters } from '#istiod/serve/counters.ts';
import { ADDRESS_TYPE, EncodedResources, sourcesFor } from '#istiod/serve/generators.ts';
import { meshWorld, podRecord } from '#tests/support/control-plane.ts';
import { logLines } from '#tests/support/log-lines.ts';
import { ServerStream } from '#xds/server-stream.ts';

describe('openAdmin()', () => {
  let servers: readonly AdminServer[];
  let pending: string[];

  beforeEach(async () => {
    pending = ['the cluster is read'];
    const world = meshWorld();
    world.inputs.pods.set(podRecord('till'));
    const counters = new DiscoveryCounters();
    const stream = new ServerStream({
      sources: sourcesFor(world.mesh, new EncodedResources(), {
        node: 'node-a',
        waypoint: undefined,
      }),
      send: (message, typeUrl) => {
        counters.sent(typeUrl, message.length);
        return true;
      },
      now: () => Date.UTC(2026, 0, 1),
      version: () => '1',
      onRefused: () => undefined,
      onStale: () => undefined,
    });
    const description = {
      type: 'ztunnel',
      name: 'ztunnel-a.istio-system',
      clusterId: 'Kubernetes',
      version: '1.30',
      node: 'node-a',
      waypoint: undefined,
      peer: '10.0.0.9:1',
    };
    const client = new Client('ztunnel-a.istio-system-1', description, 0, stream);
    stream.receive(create(DeltaDiscoveryRequestSchema, { typeUrl: ADDRESS_TYPE }));
    servers = await openAdmin({
      host: '127.0.0.1',
      ports: { http: 0, monitoring: 0 },
      metrics: new MetricsRegistry([
        ...counters.families({
          clients: () => 1,
          waiting: () => 0,
          services: () => 0,
          version: 'test',
        }),
        ...new SigningCounters().families(
          () => 10_000,
          () => 4_000,
        ),
      ]),
      graph: world.graph,
      clients: () => [client],
      pending: () => pending,
      log: logLines().log,
    });
  });
  afterEach(async () => {
    for (const server of servers) await server.close();
  });

  async function page(server: 0 | 1, path: string): Promise<{ status: number; text: string }> {
    const response = await fetch(`http://127.0.0.1:${servers[server]?.ports[0]}${path}`);
    return { status: response.status, text: await response.text() };
  }

  it('is ready when nothing is pending, and lives all the time', async () => {
    expect(await page(0, '/ready')).to.deep.equal({
      status: 503,
      text: 'not ready, pending: the cluster is read\n',
    });
    expect((await page(0, '/livez')).status).to.equal(200);
    pending = [];
    expect((await page(0, '/ready')).status).to.equal(200);
  });

  it('counts under the names that dashboards read', async () => {
    const { text } = await page(1, '/metrics');
    expect(text).to.match(/^pilot_xds 1$/m);
    expect(text).to.match(/^pilot_xds_pushes\{type="istio\.workload\.Address"\} 1$/m);
    expect(text).to.match(/^citadel_server_csr_count 0$/m);
    expect(text).to.match(/^citadel_server_root_cert_expiry_timestamp 10$/m);
    expect(text).to.match(/^citadel_server_root_cert_expiry_seconds 6$/m);
  });

  it('shows what each client was sent and has taken', async () => {
    expect(JSON.parse((await page(1, '/debug/syncz')).text)).to.deep.equal([
      {
        cluster_id: 'Kubernetes',
        proxy: 'ztunnel-a.istio-system',
        proxy_type: 'ztunnel',
        istio_version: '1.30',
        resources: {
          'istio.workload.Address': {
            sent: '1',
            acked: '',
            sentTime: '2026-01-01T00:00:00.000Z',
            lastError: '',
          },
        },
      },
    ]);
    const adsz = JSON.parse((await page(1, '/debug/adsz')).text) as { clients: unknown[] };
    expect(adsz.clients[0]).to.deep.include({ watches: { 'istio.workload.Address': '*' } });
  });

  it('dumps the collections, all or some', async () => {
    const all = (await page(1, '/debug/krtz')).text;
    expect(all).to.contain('"till"');
    const some = (await page(1, '/debug/krtz?collection=namespaces')).text;
    expect(some).not.to.contain('"till"');
  });
});
