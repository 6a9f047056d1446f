/** How tunnels behave: fixed for the life of a process. Sizes in bytes. */
export interface TunnelOptions {
  /** What one stream may send us before the application has taken it. Default 4 MiB. */
  readonly streamWindow: number;
  /** What all streams of a tunnel together may. Larger than one stream's, or one stalled stream would stall all. Default 16 MiB. */
  readonly connectionWindow: number;
  /** Largest frame accepted. Default 1 MiB. */
  readonly maxFrameSize: number;
  /** Streams that a peer may have open on one tunnel. Default 200. */
  readonly maxConcurrentStreams: number;
  /** Streams that we put on one tunnel before another is opened. Default 100. */
  readonly streamsPerTunnelMax: number;
  /** How long an unused tunnel stays open. Default 5 minutes. */
  readonly idleTimeoutMs: number;
}

export const defaultTunnelOptions: TunnelOptions = {
  streamWindow: 4_194_304,
  connectionWindow: 16_777_216,
  maxFrameSize: 1_048_576,
  maxConcurrentStreams: 200,
  streamsPerTunnelMax: 100,
  idleTimeoutMs: 300_000,
};

/** Time for the TCP connection and the TLS handshake of a new tunnel. */
export const TUNNEL_OPEN_DEADLINE_MS = 10_000;
/** After this long without a byte from the peer it is asked for a sign of life … */
export const PING_AFTER_MS = 10_000;
/** … and given up when none comes for this long. */
export const PONG_DEADLINE_MS = 20_000;
