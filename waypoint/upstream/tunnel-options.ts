import { defaultTunnelOptions, type TunnelOptions } from '#hbone/options.ts';

/** What a stream may bring before it is taken: enough for the distances within a cluster. */
const STREAM_WINDOW_BYTES = 262_144;

/**
 * A tunnel to a pod carries the requests of all clients. So the streams that may be on one never use up what all of
 * them may bring: clients that do not read their answers hold up nobody else's.
 */
export const waypointTunnelOptions: TunnelOptions = {
  ...defaultTunnelOptions,
  streamWindow: STREAM_WINDOW_BYTES,
  connectionWindow: STREAM_WINDOW_BYTES * defaultTunnelOptions.streamsPerTunnelMax,
};
