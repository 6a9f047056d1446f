import { RateLimitedLines } from '#common/log/rate-limit.ts';
import type { IpAddress } from '#common/net/address.ts';
import type { LocalPod } from '#dataplane/state/view.ts';
import { PeerCounts, PeerTunnels } from '#dataplane/workers/peer-counts.ts';
import { ByteBudget } from '#reactor/byte-budget.ts';

/** What one data worker takes. Numbers of tunnels and connections that are open at once. */
export interface AdmissionLimits {
  /** Inbound tunnels of one pod. */
  readonly tunnelsPerPod: number;
  /** Inbound tunnels of one address to one pod, and to all pods of the worker. */
  readonly tunnelsPerPodAndPeer: number;
  readonly tunnelsPerPeer: number;
  /** Connections of one pod, in and out, through tunnels and plain. */
  readonly connectionsPerPod: number;
  /** Inbound connections of one address to all pods of the worker. */
  readonly connectionsPerPeer: number;
  /** Bytes that have come through tunnels and wait for applications: of one pod, and of all pods of the worker. */
  readonly waitingBytesPerPod: number;
  readonly waitingBytes: number;
}

/** Tunnels: every client pod has its own, so this is a pod that thousands of others call. */
const TUNNELS_PER_POD_MAX = 16_384;
/** Tunnels: at 100 streams each, more connections than one address has ports for (28,232 by default). */
const TUNNELS_PER_POD_AND_PEER_MAX = 512;
/** Tunnels: a gateway with 32 threads that calls 128 pods of the node, each thread with its own. */
const TUNNELS_PER_PEER_MAX = 4_096;
/**
 * Of each kind (outbound connections, plaintext ones, tunnels) that wait for the pod's configuration or certificate:
 * who they are is not known either. A connection waits 5 s at most.
 */
const WAITING_PER_POD_MAX = 1_000;
/** Connections: several times what the busiest pods hold. */
const CONNECTIONS_PER_POD_MAX = 65_536;
/** Connections: what one address could have without a mesh to one port, rounded up. */
const CONNECTIONS_PER_PEER_MAX = 32_768;

/** Bytes: as much as sixteen tunnels may bring of which nothing is read. */
const WAITING_BYTES_PER_POD_MAX = 268_435_456;
const WAITING_BYTES_MAX = 2_147_483_648;
/** Over all workers a quarter of the memory, and one pod half of a worker's part. */
const WAITING_MEMORY_SHARE = 1 / 4;
const POD_WAITING_SHARE = 1 / 2;

/** In plain text: one to each side. */
const DESCRIPTORS_PER_CONNECTION = 2;
/** One pod gets at most two thirds of all descriptors. */
const POD_CONNECTIONS_SHARE = 2 / 3 / DESCRIPTORS_PER_CONNECTION;
/** Of all descriptors, over all workers: one address gets at most half for connections, an eighth for tunnels. */
const PEER_CONNECTIONS_SHARE = 1 / 2 / DESCRIPTORS_PER_CONNECTION;
const PEER_TUNNELS_SHARE = 1 / 8;
/** One pod's tunnels get at most a quarter. */
const POD_TUNNELS_SHARE = 1 / 4;

/**
 * The limits of each of `workers` data workers in a process that may have `openFilesMax` descriptors and
 * `memoryBytes` of memory: the constants, or less where there is little.
 */
export function admissionLimits(
  openFilesMax: number,
  workers: number,
  memoryBytes: number,
): AdmissionLimits {
  const most = (constant: number, share: number): number =>
    Math.max(1, Math.min(constant, Math.floor(openFilesMax * share)));
  const tunnelsPerPeer = most(TUNNELS_PER_PEER_MAX, PEER_TUNNELS_SHARE / workers);
  const allWaitingBytes = Math.min(WAITING_BYTES_MAX, memoryBytes * WAITING_MEMORY_SHARE);
  const waitingBytes = Math.max(1, Math.floor(allWaitingBytes / workers));
  const podWaitingBytes = Math.max(1, Math.floor(waitingBytes * POD_WAITING_SHARE));
  return {
    waitingBytes,
    waitingBytesPerPod: Math.min(WAITING_BYTES_PER_POD_MAX, podWaitingBytes),
    tunnelsPerPod: most(TUNNELS_PER_POD_MAX, POD_TUNNELS_SHARE),
    tunnelsPerPodAndPeer: Math.min(TUNNELS_PER_POD_AND_PEER_MAX, tunnelsPerPeer),
    tunnelsPerPeer,
    connectionsPerPod: most(CONNECTIONS_PER_POD_MAX, POD_CONNECTIONS_SHARE),
    connectionsPerPeer: most(CONNECTIONS_PER_PEER_MAX, PEER_CONNECTIONS_SHARE / workers),
  };
}

/** What counts for the limits on a whole thread. */
export interface ThreadAdmission {
  readonly limits: AdmissionLimits;
  /** Inbound tunnels, by peer. */
  readonly tunnels: PeerCounts;
  /** Inbound connections, by peer. */
  readonly connections: PeerCounts;
  /** Bytes that wait for applications, by pod. */
  readonly waiting: ByteBudget;
}

export function threadAdmission(limits: AdmissionLimits): ThreadAdmission {
  return {
    limits,
    tunnels: new PeerCounts(),
    connections: new PeerCounts(),
    waiting: new ByteBudget(limits.waitingBytes),
  };
}

/** Decides whether one pod takes one more tunnel or connection, and tells the operator when it doesn't. */
export class PodAdmission {
  readonly tunnels: PeerTunnels;
  /** Bytes that have come through tunnels and wait for the pod's applications, by stream. */
  readonly waiting: ByteBudget;
  readonly #thread: ThreadAdmission;
  readonly #name: string;
  readonly #lines: RateLimitedLines;

  constructor(thread: ThreadAdmission, pod: LocalPod, report: (problem: string) => void) {
    this.#thread = thread;
    this.#name = `${pod.namespace}/${pod.name}`;
    this.#lines = new RateLimitedLines(report);
    this.tunnels = new PeerTunnels(thread.tunnels);
    this.waiting = new ByteBudget(thread.limits.waitingBytesPerPod, thread.waiting);
  }

  /** Is there room for one more inbound tunnel of `peer`? */
  admitsTunnel(peer: IpAddress, nowMs: number): boolean {
    const { limits, tunnels } = this.#thread;
    const what = `refused a tunnel from ${peer} to pod ${this.#name}`;
    if (this.tunnels.size >= limits.tunnelsPerPod) {
      const line = `${what}: the pod has ${limits.tunnelsPerPod} tunnels, as many as one pod may`;
      return this.#refuses('tunnels of the pod', line, nowMs);
    }
    if (this.tunnels.from(peer) >= limits.tunnelsPerPodAndPeer) {
      const line = `${what}: the address has ${limits.tunnelsPerPodAndPeer} tunnels to this pod, as many as it may`;
      return this.#refuses('tunnels of a peer', line, nowMs);
    }
    if (tunnels.of(peer) >= limits.tunnelsPerPeer) {
      const line = `${what}: the address has ${limits.tunnelsPerPeer} tunnels to pods of this worker, as many as it may`;
      return this.#refuses('tunnels of a peer', line, nowMs);
    }
    return true;
  }

  /** Tells of a tunnel in its handshake that made room for another. */
  gaveWay(peer: IpAddress, nowMs: number): void {
    const line = `gave up a tunnel from ${peer} to pod ${this.#name}: too many are in their handshake, and this address has most`;
    this.#lines.write('handshakes', line, nowMs);
  }

  /** Is there room for one more connection beside the `open` ones? `peer`: whose it is, for an inbound one. */
  admitsConnection(open: number, peer: IpAddress | undefined, nowMs: number): boolean {
    const { limits, connections } = this.#thread;
    const from = peer === undefined ? '' : ` from ${peer}`;
    const what = `refused a connection${from} ${peer === undefined ? 'of' : 'to'} pod ${this.#name}`;
    if (open >= limits.connectionsPerPod) {
      const line = `${what}: the pod has ${limits.connectionsPerPod} connections, as many as one pod may`;
      return this.#refuses('connections of the pod', line, nowMs);
    }
    if (peer !== undefined && connections.of(peer) >= limits.connectionsPerPeer) {
      const line = `${what}: the address has ${limits.connectionsPerPeer} connections to pods of this worker, as many as it may`;
      return this.#refuses('connections of a peer', line, nowMs);
    }
    if (this.waiting.isFull) {
      const line = `${what}: ${this.waiting.bytes} bytes wait for applications of the pod that read too slowly, as many as may`;
      return this.#refuses('waiting bytes', line, nowMs);
    }
    return true;
  }

  /** May one more wait for the pod's configuration or certificate, beside `waiting` of its kind? */
  admitsWaiting(
    kind: 'connection' | 'tunnel',
    waiting: number,
    peer: IpAddress | undefined,
    nowMs: number,
  ): boolean {
    if (waiting < WAITING_PER_POD_MAX) return true;
    const which = peer === undefined ? 'of' : `from ${peer} to`;
    const line = `refused a ${kind} ${which} pod ${this.#name}: ${WAITING_PER_POD_MAX} others wait until the pod is known, as many as may`;
    return this.#refuses(`waiting ${peer === undefined ? 'out' : kind}`, line, nowMs);
  }

  #refuses(kind: string, line: string, nowMs: number): boolean {
    this.#lines.write(kind, line, nowMs);
    return false;
  }
}
