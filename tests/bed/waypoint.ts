// A waypoint as a process of its own, with a control plane of its own, for tests.

import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
} from 'node:http2';
import { type AddressInfo, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import { readManifests } from '#cli/mesh/manifests.ts';
import { writeCertificate } from '#common/tls/x509-writer.ts';
import { GATEWAYS, SECRETS, SERVICE_ACCOUNTS, SERVICES } from '#kube/resources.ts';
import { createObject } from '#tests/support/manifests.ts';
import { objectUntil } from '#tests/support/objects.ts';

import { TestCluster, TestIstiod } from './istiod.ts';
import { program, type Running, start } from './process.ts';

const MINUTE_MS = 60_000;
const CLIENT = 'spiffe://cluster.local/ns/shop/sa/client';
const GATEWAY = 'way';
const POD_IP = '10.244.0.9';
const POD = { name: 'way-0', namespace: 'shop', serviceAccount: GATEWAY };
/** Of the service that is bound to the waypoint. */
const SERVICE = 'reviews.shop.svc.cluster.local:80';

/** A running `waypoint/main.ts` in front of a service of which no pod serves. */
export class TestWaypointProcess implements AsyncDisposable {
  readonly process: Running;
  readonly ports: Ports;
  readonly #cluster: TestCluster;
  readonly #istiod: TestIstiod;
  readonly #sessions: ClientHttp2Session[] = [];
  readonly #material: Material;

  private constructor(made: Made) {
    this.#cluster = made.cluster;
    this.#istiod = made.istiod;
    this.process = made.process;
    this.ports = made.ports;
    this.#material = made.material;
  }

  /** Of the API server that its control plane reads from. */
  get cluster(): TestCluster {
    return this.#cluster;
  }

  /** Settles when it is ready. `settings`: more environment variables. */
  static async start(
    settings: (ports: Ports) => Readonly<Record<string, string>>,
  ): Promise<TestWaypointProcess> {
    const cluster = await TestCluster.start(['node-a']);
    await cluster.addNamespace('shop');
    for (const kind of ['gateways', 'gatewayclasses', 'httproutes', 'grpcroutes']) {
      for (const crd of readManifests(`10-crds/${kind}.yaml`))
        await createObject(cluster.client, crd);
    }
    const istiod = await TestIstiod.start(cluster, { ENABLE_LEADER_ELECTION: 'false' });
    await bindService(cluster);
    const token = await cluster.token(POD);
    const ports = await freePorts();
    const rootPem = await cluster.rootPem();
    const process = start(program('waypoint/main.ts'), {
      env: {
        POD_NAME: POD.name,
        POD_NAMESPACE: POD.namespace,
        SERVICE_ACCOUNT: POD.serviceAccount,
        INSTANCE_IP: POD_IP,
        XDS_ADDRESS: istiod.address,
        CA_ADDRESS: istiod.address,
        XDS_ROOT_CA: rootPem,
        CA_ROOT_CA: rootPem,
        ALT_XDS_HOSTNAME: 'istiod.istio-system.svc',
        ALT_CA_HOSTNAME: 'istiod.istio-system.svc',
        AUTH_TOKEN: token,
        TUNNEL_PORT: String(ports.tunnel),
        ADMIN_PORT: String(ports.admin),
        STATS_PORT: String(ports.stats),
        READINESS_PORT: String(ports.readiness),
        ...settings(ports),
      },
    });
    const material = await clientMaterial(cluster);
    const waypoint = new TestWaypointProcess({ cluster, istiod, process, ports, material });
    await waypoint.untilReady(200);
    return waypoint;
  }

  /** A tunnel, as a node proxy opens it. */
  async tunnel(): Promise<ClientHttp2Session> {
    const session = connectHttp2(`https://127.0.0.1:${this.ports.tunnel}`, {
      ...this.#material,
      // Its name is a SPIFFE name, which the product checks, not this test.
      checkServerIdentity: () => undefined,
    });
    session.on('error', () => undefined);
    this.#sessions.push(session);
    await once(session, 'connect');
    return session;
  }

  /** A request to the service through a connection inside of a tunnel, and what comes back up to the end. */
  async ask(session: ClientHttp2Session, request: string): Promise<string> {
    const stream = await this.connect(session);
    stream.end(request);
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks).toString('latin1');
  }

  /** A connection inside of a tunnel. */
  async connect(session: ClientHttp2Session): Promise<ClientHttp2Stream> {
    const stream = session.request({ ':method': 'CONNECT', ':authority': SERVICE });
    stream.on('error', () => undefined);
    const [headers] = (await once(stream, 'response')) as [{ ':status'?: number }];
    if (headers[':status'] !== 200) throw new Error(`CONNECT: ${headers[':status']}`);
    return stream;
  }

  /** Settles when the readiness page answers so, with its text. */
  async untilReady(status: number): Promise<string> {
    for (const deadlineMs = Date.now() + MINUTE_MS; Date.now() < deadlineMs; await sleep(20)) {
      const answer = await fetch(`http://127.0.0.1:${this.ports.readiness}/healthz/ready`).catch(
        () => undefined,
      );
      const text = await answer?.text();
      if (answer?.status === status) return text ?? '';
      if (!this.process.running) break;
    }
    throw new Error(`never ${status}:\n${this.process.lines.join('\n')}`);
  }

  /** What the metrics page says of a name. */
  async metric(name: string): Promise<number> {
    const answer = await fetch(`http://127.0.0.1:${this.ports.stats}/metrics`);
    const line = (await answer.text()).split('\n').find((one) => one.startsWith(`${name} `));
    return Number(line?.slice(name.length + 1));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.#sessions) session.destroy();
    await this.process.stop();
    await this.#istiod[Symbol.asyncDispose]();
    await this.#cluster[Symbol.asyncDispose]();
  }
}

interface Ports {
  readonly tunnel: number;
  readonly admin: number;
  readonly stats: number;
  readonly readiness: number;
  /** For a test's own use. */
  readonly other: number;
}

interface Material {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

interface Made {
  readonly cluster: TestCluster;
  readonly istiod: TestIstiod;
  readonly process: Running;
  readonly ports: Ports;
  readonly material: Material;
}

/** A service that is bound to a waypoint, and the waypoint's pod. */
async function bindService(cluster: TestCluster): Promise<void> {
  const { client } = cluster;
  const { namespace } = POD;
  await client.create(SERVICES, {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'reviews', namespace, labels: { 'istio.io/use-waypoint': GATEWAY } },
    spec: { selector: { app: 'reviews' }, ports: [{ name: 'http', port: 80 }] },
  });
  await client.create(GATEWAYS, {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'Gateway',
    metadata: { name: GATEWAY, namespace },
    spec: {
      gatewayClassName: 'istio-waypoint',
      listeners: [{ name: 'mesh', port: 15008, protocol: 'HBONE' }],
    },
  });
  // Istiod makes the account that the waypoint runs as.
  await objectUntil(
    client,
    SERVICE_ACCOUNTS,
    { namespace, name: GATEWAY },
    (account) => account !== undefined,
  );
  await cluster.addPod(POD.name, {
    namespace,
    serviceAccount: POD.serviceAccount,
    node: 'node-a',
    ip: POD_IP,
    labels: { 'gateway.networking.k8s.io/gateway-name': GATEWAY },
  });
}

/** What a client's node proxy has, signed by the mesh's own authority. */
async function clientMaterial({ client }: TestCluster): Promise<Material> {
  const { data = {} } = await client.get(SECRETS, 'istio-ca-secret', 'istio-system');
  const text = (name: string): string => Buffer.from(data[name] ?? '', 'base64').toString();
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const ca = text('ca-cert.pem');
  const cert = writeCertificate({
    issuer: 'cluster.local',
    subject: undefined,
    names: { uris: [CLIENT] },
    notBeforeMs: Date.now() - MINUTE_MS,
    notAfterMs: Date.now() + 60 * MINUTE_MS,
    publicKey,
    issuerPrivateKey: createPrivateKey(text('ca-key.pem')),
    issuerPublicKey: new X509Certificate(ca).publicKey,
    authority: false,
    endpoint: true,
  });
  return { cert, key: privateKey.export({ type: 'pkcs8', format: 'pem' }), ca };
}

async function freePorts(): Promise<Ports> {
  const servers = Array.from({ length: 5 }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const [tunnel = 0, admin = 0, stats = 0, readiness = 0, other = 0] = servers.map(
    (server) => (server.address() as AddressInfo).port,
  );
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return { tunnel, admin, stats, readiness, other };
}
