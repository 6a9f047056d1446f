import { once } from 'node:events';
import {
  Agent,
  type ClientRequest,
  type IncomingMessage,
  type RequestOptions,
  request,
} from 'node:http';
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
} from 'node:http2';

import type { Service } from '#dataplane/state/service.ts';
import type { Workload } from '#dataplane/state/workload.ts';
import type { Loop } from '#reactor/loop.ts';
import type { ConnectionFacts, Decision } from '#waypoint/exchange/decision.ts';
import { DEFAULT_RETRY } from '#waypoint/exchange/decision.ts';
import type { ExchangeRecord } from '#waypoint/exchange/record.ts';
import type { RequestMessage } from '#waypoint/request/head.ts';
import type { TcpRecord } from '#waypoint/tcp/tcp-forward.ts';
import { waypointTunnelOptions } from '#waypoint/upstream/tunnel-options.ts';
import { type PlaneLimits, planeLimits } from '#waypoint/worker/limits.ts';
import { Plane, type PlaneEvents } from '#waypoint/worker/plane.ts';

import { delta, gatewayAt, ports, service, serving, workload } from './mesh.ts';
import type { LeafOptions, TestAuthority } from './tls-material.ts';
import { Listener } from './tls-sockets.ts';

const MACHINE = { openFilesMax: 1_048_576, memoryBytes: 1 << 30 };
const WAYPOINT = 'spiffe://cluster.local/ns/default/sa/waypoint';
export const SERVICE_VIP = '10.96.0.10';

/** A waypoint's data path on a loop of the test, with one service behind it; clients are tunnels of node:http2. */
export class TestWaypoint implements Disposable {
  readonly plane: Plane;
  readonly records: ExchangeRecord[] = [];
  readonly tcp: TcpRecord[] = [];
  readonly refusals: string[] = [];
  readonly faults: string[] = [];
  /** What is decided about each request. */
  decide: (facts: ConnectionFacts, request: RequestMessage) => Decision = (facts) =>
    forwardTo(facts);
  /** Told of each end while the request can still be read, and of each TCP connection. */
  tell: Partial<Pick<PlaneEvents, 'finished' | 'tcpOpened' | 'tcpClosed'>> = {};
  /** Why a connection that is not looked into is not let in. */
  judge: (facts: ConnectionFacts) => string | undefined = () => undefined;
  readonly #loop: Loop;
  readonly #listener: Listener;
  readonly #authority: TestAuthority;
  readonly #sessions: ClientHttp2Session[] = [];

  constructor(loop: Loop, authority: TestAuthority, limits: Partial<PlaneLimits> = {}) {
    this.#loop = loop;
    this.#authority = authority;
    this.plane = new Plane(
      loop,
      {
        network: '',
        pod: { name: 'waypoint', namespace: 'default', serviceAccount: 'waypoint' },
        identity: WAYPOINT,
        tunnels: waypointTunnelOptions,
        limits: { ...planeLimits(MACHINE, 1), ...limits },
      },
      {
        decide: (facts, head) => this.decide(facts, head),
        judge: (facts) => this.judge(facts),
        finished: (record) => {
          this.records.push(record);
          this.tell.finished?.(record);
        },
        tcpOpened: (record) => this.tell.tcpOpened?.(record),
        tcpClosed: (record) => {
          this.tcp.push(record);
          this.tell.tcpClosed?.(record);
        },
        badRequest: (_facts, fault) => this.faults.push(fault),
        refused: (_peer, reason) => this.refusals.push(reason),
        tunnelClosed: () => undefined,
      },
    );
    this.plane.useCertificate(authority.issue({ names: { uris: [WAYPOINT] } }));
    this.#listener = new Listener(loop, (fd) => this.plane.accept(fd));
  }

  /** The service `shop` on {@link SERVICE_VIP}:80, served by plain endpoints on these addresses. */
  serve(
    endpoints: readonly { readonly ip: string; readonly port: number }[],
    more: Partial<Service> = {},
  ): void {
    const shop = service('shop.default.svc.cluster.local', SERVICE_VIP, {
      waypoint: gatewayAt('/127.0.0.9'),
      ...more,
    });
    const pods: Workload[] = endpoints.map(({ ip, port }, index) =>
      serving(workload(`shop-${index}`, ip), [shop, ports({ 80: port })]),
    );
    const self = workload('waypoint', '127.0.0.9', {
      serviceAccount: 'waypoint',
      protocol: 'HBONE',
    });
    const removeWorkloads = [...this.plane.mesh.workloads()].map(({ uid }) => uid);
    const upsertWorkloads = [self, ...pods];
    this.plane.applyMesh(delta({ upsertServices: [shop], upsertWorkloads, removeWorkloads }));
  }

  /** What is in progress now: requests, those at endpoints, bytes that wait. */
  get left(): { readonly requests: number; readonly load: number; readonly waiting: number } {
    const { requests, servers, waiting } = this.plane;
    const load = servers.uses().reduce((sum, use) => sum + use.requests, 0);
    return { requests: requests.taken, load, waiting: waiting.bytes };
  }

  /** A connection to the service inside a tunnel of its own, as a client's node proxy opens it. */
  async connect(
    authority: string = `${SERVICE_VIP}:80`,
    certificate: LeafOptions = {},
  ): Promise<Inner> {
    const material = this.#authority.issue(certificate);
    const session = connectHttp2(`https://127.0.0.1:${this.#listener.port}`, {
      cert: material.chainPem.join(''),
      key: material.privateKeyPem,
      ca: material.rootsPem,
      // Its name is a SPIFFE name, which the product checks, not this test.
      checkServerIdentity: () => undefined,
    });
    session.on('error', () => undefined);
    this.#sessions.push(session);
    const stream = session.request({ ':method': 'CONNECT', ':authority': authority });
    stream.on('error', () => undefined);
    const [headers] = (await once(stream, 'response')) as [{ ':status'?: number }];
    return new Inner(stream, headers[':status'] ?? 0);
  }

  [Symbol.dispose](): void {
    for (const session of this.#sessions) session.destroy();
    this.plane.close('test over');
    this.#listener.close();
    this.#loop.returnToNode();
  }
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly trailers: IncomingMessage['trailers'];
  readonly body: string;
}

/** A connection inside a tunnel. */
export class Inner {
  readonly stream: ClientHttp2Stream;
  /** Of the answer to CONNECT. */
  readonly status: number;
  readonly #agent: Agent;

  constructor(stream: ClientHttp2Stream, status: number) {
    this.stream = stream;
    this.status = status;
    this.#agent = new Agent({ keepAlive: true, maxSockets: 1 });
    // What the agent asks of a socket and a stream lacks.
    const still = (): ClientHttp2Stream => stream;
    Object.assign(stream, { setKeepAlive: still, setNoDelay: still, ref: still, unref: still });
    this.#agent.createConnection = () => stream;
  }

  /** A request of node:http on this connection. */
  request(options: RequestOptions): ClientRequest {
    return request({ host: 'shop', agent: this.#agent, ...options });
  }

  /** The same, with its answer. */
  async ask(
    path: string,
    options: RequestOptions & { readonly body?: string | Buffer } = {},
  ): Promise<Answer> {
    const sent = this.request({ path, ...options });
    sent.end(options.body);
    return await answerTo(sent);
  }

  /** Sends bytes as they are, and gives what comes back until the end. */
  async exchange(bytes: string): Promise<string> {
    this.stream.end(bytes);
    const chunks: Buffer[] = [];
    for await (const chunk of this.stream) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks).toString('latin1');
  }
}

export async function answerTo(sent: ClientRequest): Promise<Answer> {
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    trailers: response.trailers,
    body: Buffer.concat(chunks).toString(),
  };
}

/** To where the client wanted to go, unchanged. */
export function forwardTo(
  facts: ConnectionFacts,
  more: Partial<Decision & { readonly kind: 'forward' }> = {},
): Decision & { readonly kind: 'forward' } {
  return {
    kind: 'forward',
    target: facts.target,
    requestPlan: {},
    responsePlan: {},
    timeoutMs: undefined,
    attemptTimeoutMs: undefined,
    retry: DEFAULT_RETRY,
    ...more,
  };
}
