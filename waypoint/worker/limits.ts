/** What one data worker of a waypoint takes. Numbers are of what is open at once. */
export interface PlaneLimits {
  /** Tunnels that come in, and those of one address. */
  readonly tunnels: number;
  readonly tunnelsPerPeer: number;
  /** Connections inside of tunnels. */
  readonly connections: number;
  /** Requests that are not answered to their end. */
  readonly requests: number;
  /** Connections to one endpoint, and requests that wait for one of them beside those that have one. */
  readonly connectionsPerEndpoint: number;
  readonly waitingPerEndpoint: number;
  /** Bytes that wait for clients and endpoints that do not take them. */
  readonly waitingBytes: number;
  /** Of these, bytes of requests that are kept to be sent, or to be sent again. */
  readonly keptBytes: number;
  /** Bytes of the body of one request; Infinity for no limit. */
  readonly requestBodyBytes: number;
  /** How long an exchange may live in which no byte moves; Infinity for ever. */
  readonly streamIdleMs: number;
}

/** What is set for a waypoint; the rest follows from the machine. */
export type GivenLimits = Pick<PlaneLimits, 'requestBodyBytes' | 'streamIdleMs'>;

export const DEFAULT_GIVEN_LIMITS: GivenLimits = {
  requestBodyBytes: Infinity,
  streamIdleMs: 3_600_000,
};

/** Tunnels: every pod that calls has its own, and Envoy's guide for the edge takes as many connections. */
const TUNNELS_MAX = 16_384;
/** Tunnels: a gateway with 32 threads, each with its own, and 128 pods of it behind one address. */
const TUNNELS_PER_PEER_MAX = 4_096;
/** Of all descriptors, over all workers: tunnels get at most half, one address an eighth; the rest goes to endpoints. */
const TUNNELS_SHARE = 1 / 2;
const PEER_TUNNELS_SHARE = 1 / 8;
/** Connections, requests: more than a worker can serve. */
const CONNECTIONS_MAX = 65_536;
const REQUESTS_MAX = 65_536;
/** Connections: below the ports that one address has for another by default (28,232). */
const CONNECTIONS_PER_ENDPOINT_MAX = 16_384;
const ENDPOINT_CONNECTIONS_SHARE = 1 / 4;
/** Requests: Envoy's default. */
const WAITING_PER_ENDPOINT_MAX = 1_024;

/** Bytes that a connection and a request take by themselves, with a head that is not small. */
const BYTES_PER_CONNECTION = 16_384;
const BYTES_PER_REQUEST = 8_192;
const WAITING_BYTES_MAX = 2_147_483_648;
/** Of the memory, over all workers: what waits, connections, requests; an eighth is left for the rest. */
const WAITING_MEMORY_SHARE = 1 / 4;
const CONNECTIONS_MEMORY_SHARE = 1 / 4;
const REQUESTS_MEMORY_SHARE = 1 / 8;
/** Of what waits. */
const KEPT_SHARE = 1 / 4;

/**
 * The limits of each of `workers` data workers in a process that may have `openFilesMax` descriptors and
 * `memoryBytes` of memory: the constants, or less where there is little.
 */
export function planeLimits(
  machine: { readonly openFilesMax: number; readonly memoryBytes: number },
  workers: number,
  given: GivenLimits = DEFAULT_GIVEN_LIMITS,
): PlaneLimits {
  const part = (most: number, all: number, share: number): number =>
    Math.max(1, Math.min(most, Math.floor((all * share) / workers)));
  const { openFilesMax, memoryBytes } = machine;
  const memory = (most: number, share: number, each: number): number =>
    part(most, memoryBytes / each, share);
  const waitingBytes = part(WAITING_BYTES_MAX / workers, memoryBytes, WAITING_MEMORY_SHARE);
  return {
    ...given,
    tunnels: part(TUNNELS_MAX, openFilesMax, TUNNELS_SHARE),
    tunnelsPerPeer: part(TUNNELS_PER_PEER_MAX, openFilesMax, PEER_TUNNELS_SHARE),
    connections: memory(CONNECTIONS_MAX, CONNECTIONS_MEMORY_SHARE, BYTES_PER_CONNECTION),
    requests: memory(REQUESTS_MAX, REQUESTS_MEMORY_SHARE, BYTES_PER_REQUEST),
    connectionsPerEndpoint: part(
      CONNECTIONS_PER_ENDPOINT_MAX,
      openFilesMax,
      ENDPOINT_CONNECTIONS_SHARE,
    ),
    waitingPerEndpoint: WAITING_PER_ENDPOINT_MAX,
    waitingBytes,
    keptBytes: Math.max(1, Math.floor(waitingBytes * KEPT_SHARE)),
  };
}
