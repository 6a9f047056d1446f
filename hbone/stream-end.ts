import type { RelayEnd } from '#reactor/relay.ts';
import { errnoName, errnoText, isPeerGone } from '#reactor/socket.ts';

import type { TunnelEnd } from './tunnel.ts';

/** How carrying bytes between a stream and an application's socket came to an end. */
export type StreamEnd =
  | (RelayEnd & { readonly kind: 'complete' })
  | {
      readonly kind: 'failed';
      /** `dial`: the application's socket; `response`: the peer said no; `tunnel`: the tunnel broke. */
      readonly stage: 'dial' | 'response' | 'tunnel' | 'internal';
      readonly reason: string;
      readonly tunnelEnd?: TunnelEnd;
    };

/** How a relay ends whose application's socket has failed with -errno. */
export function socketFailure(error: number): StreamEnd {
  return isPeerGone(error)
    ? { kind: 'complete', closedBy: `application reset (${errnoName(error)})` }
    : { kind: 'failed', stage: 'internal', reason: errnoText(error) };
}
