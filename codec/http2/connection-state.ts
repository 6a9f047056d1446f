import type { ClosedStreamsState } from './closed-streams.ts';
import type { FrameReaderState } from './frame-reader.ts';
import type { GuardsState } from './guards.ts';
import type { HeaderBlockState } from './header-block.ts';
import type { HpackDecoderState } from './hpack-decoder.ts';
import type { HpackEncoderState } from './hpack-encoder.ts';
import type { Http2Options, Role } from './options.ts';
import type { DataFrameState } from './receive-data.ts';
import type { Settings } from './settings.ts';
import type { Http2StreamState } from './stream-state.ts';

/**
 * A whole connection between two chunks of input, as plain data: numbers, booleans, strings, arrays and
 * Uint8Arrays, so that it can be cloned, sent to another thread or process, and compared. What lies in the
 * output belongs to its owner and is not part of it.
 */
export interface Http2ConnectionState {
  readonly role: Role;
  readonly options: Required<Http2Options>;
  readonly faulted: boolean;
  readonly peer: Readonly<Settings>;
  readonly peerSettingsSeen: boolean;
  readonly settingsAcked: boolean;
  readonly sendWindow: number;
  readonly receiveLeft: number;
  readonly receiveCredit: number;
  readonly creditWithheld: boolean;
  readonly nextStreamId: number;
  readonly highestPeerStream: number;
  readonly lastProcessed: number;
  /** Peer streams above this one are not looked at: our last GOAWAY said so. */
  readonly refuseAbove: number;
  readonly goawaySent: boolean;
  /** What the peer's last GOAWAY said, undefined without one. */
  readonly goawayReceived: number | undefined;
  readonly pingsWaiting: number;
  readonly streams: readonly Http2StreamState[];
  readonly closedStreams: ClosedStreamsState;
  readonly reader: FrameReaderState;
  readonly data: DataFrameState;
  readonly block: HeaderBlockState | undefined;
  readonly decoder: HpackDecoderState;
  readonly encoder: HpackEncoderState;
  readonly guards: GuardsState;
}
