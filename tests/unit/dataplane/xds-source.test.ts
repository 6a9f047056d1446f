import { create, toBinary } from '@bufbuild/protobuf';
import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { AggregatedDiscoveryService } from '#api/gen/discovery_pb.ts';
import { AddressSchema } from '#api/gen/workload_pb.ts';
import { GrpcServer } from '#common/grpc/server.ts';
import { MeshStore } from '#dataplane/state/store.ts';
import { XdsSource } from '#dataplane/xds-source.ts';
import { logLines } from '#tests/support/log-lines.ts';
import { TestAuthority } from '#tests/support/tls-material.ts';
import { Watcher } from '#tests/support/watcher.ts';
import { encodeResource } from '#xds/resource.ts';
import { type ResourceSource, ServerStream } from '#xds/server-stream.ts';

const ADDRESSES = 'type.googleapis.com/istio.workload.Address';
const POLICIES = 'type.googleapis.com/istio.security.Authorization';
const UID = 'Kubernetes//Pod/shop/till';

function till(status: 0 | 1 = 0): Uint8Array {
  const value = { uid: UID, name: 'till', namespace: 'shop', status };
  return toBinary(AddressSchema, create(AddressSchema, { type: { case: 'workload', value } }));
}

function sourceOf(typeUrl: string, held: Map<string, Uint8Array>): ResourceSource {
  let version = 0;
  return {
    typeUrl,
    all: () => [...held.keys()].map((name) => ({ name, version: '' })),
    encoded: (name) => {
      const bytes = held.get(name);
      if (bytes === undefined) return undefined;
      version++;
      return encodeResource({ typeUrl, name, version: String(version), aliases: [], bytes });
    },
    lookup: () => [],
    always: () => [],
    concerns: () => false,
  };
}

describe('XdsSource', () => {
  const authority = new TestAuthority();
  let grpc: GrpcServer;
  let resources: Map<string, Uint8Array>;
  let stream: ServerStream | undefined;
  let mesh: MeshStore;
  let watcher: Watcher;
  let logged: ReturnType<typeof logLines>;
  let source: XdsSource;
  let isLoaded: boolean;

  beforeEach(async () => {
    watcher = new Watcher();
    resources = new Map();
    grpc = new GrpcServer({ receivedMessageBytesMax: 1_000_000, connectionAgeMs: 600_000 });
    const method = AggregatedDiscoveryService.method.deltaAggregatedResources;
    grpc.addStreaming(method, (_context, outlet) => {
      stream = new ServerStream({
        sources: [sourceOf(POLICIES, new Map()), sourceOf(ADDRESSES, resources)],
        send: (message) => outlet.write(message),
        now: Date.now,
        version: () => '1',
        onRefused: () => undefined,
        onStale: () => undefined,
      });
      const served = stream;
      return {
        onMessage: (request) => void served.receive(request),
        onDrained: () => served.resume(),
        onClosed: () => undefined,
      };
    });
    const { chainPem, privateKeyPem } = authority.issue({ names: { dns: ['istiod.example'] } });
    const port = await grpc.listen('127.0.0.1', 0, { chainPem: chainPem.join(''), privateKeyPem });
    mesh = new MeshStore();
    logged = logLines();
    source = new XdsSource(
      {
        kind: 'xds',
        address: `https://127.0.0.1:${port}`,
        root: { kind: 'inline', text: authority.rootPem },
        alternativeHostname: 'istiod.example',
        token: { kind: 'inline', text: 'token' },
        headers: new Map(),
        onDemand: false,
        node: { id: 'ztunnel~1.1.1.1~z.ns~ns', metadata: {} },
      },
      {
        onDelta: (delta) => {
          mesh.apply(delta);
          watcher.look();
        },
        onAnswered: () => undefined,
        log: logged.log,
      },
    );
    isLoaded = false;
  });
  afterEach(async () => {
    source.close();
    await grpc.close(0);
  });

  async function load(): Promise<void> {
    await source.load();
    isLoaded = true;
  }
  const status = () => [...mesh.workloads()][0]?.status;

  it('is loaded when both types have come, and tells of changes from then on', async () => {
    resources.set(UID, till());
    await load();
    expect(status()).to.equal('Healthy');
    resources.set(UID, till(1));
    stream?.push(new Map([[ADDRESSES, new Set([UID])]]));
    await watcher.until(() => status() === 'Unhealthy');
    resources.clear();
    stream?.push(new Map([[ADDRESSES, new Set([UID])]]));
    await watcher.until(() => status() === undefined);
    const [terminations, messages] = source.families();
    expect(await terminations?.read()).to.deep.equal([]);
    expect(await messages?.read()).to.deep.equal([
      { labels: { url: ADDRESSES }, value: 3 },
      { labels: { url: POLICIES }, value: 1 },
    ]);
  });

  it('is loaded by an empty mesh', async () => {
    await load();
    expect([...mesh.workloads()]).to.deep.equal([]);
  });

  it('is not loaded by a response that could be used in part only, and says what was wrong', async () => {
    resources.set(UID, till());
    resources.set('bad', Uint8Array.of(0xff));
    const loading = load();
    await watcher.until(() => status() === 'Healthy');
    // What is said about it comes after what was applied.
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
    expect(isLoaded).to.equal(false);
    expect(logged.lines.join('\n')).to.match(/\terror\t.*name="bad" reason="not a istio\.workload/);
    resources.delete('bad');
    stream?.push(new Map([[ADDRESSES, new Set(['bad'])]]));
    await loading;
  });

  it('stops waiting when it is closed', async () => {
    await grpc.close(0);
    const loading = source.load();
    source.close();
    expect(await loading).to.deep.equal([]);
  });
});
