import type { ConnectionCore } from './connection-core.ts';
import { overflows } from './flow-control.ts';
import {
  ErrorCode,
  Flag,
  FrameType,
  MAX_31_BITS,
  PING_LENGTH,
  PRIORITY_LENGTH,
  readUint31,
  readUint32,
  SETTING_LENGTH,
} from './frame.ts';
import { Delivery, type FrameReader } from './frame-reader.ts';
import { applySettings, INITIAL_SETTINGS, SETTINGS_PER_FRAME_MAX } from './settings.ts';
import type { Http2Stream } from './stream-state.ts';

/** A GOAWAY is kept together until it is whole; its debug text may be this long. */
const GOAWAY_LENGTH_MAX = 16_384;

/** A request that had waited this long for an answer is not part of a rapid reset: its caller gave up. */
const RAPID_RESET_MS = 1000;

/** Takes the frames that carry no content: SETTINGS, WINDOW_UPDATE, RST_STREAM, PING, GOAWAY, PRIORITY. */
export class ControlReceiver {
  readonly #core: ConnectionCore;

  constructor(core: ConnectionCore) {
    this.#core = core;
  }

  beginSettings(reader: FrameReader): Delivery {
    const core = this.#core;
    const { streamId, length } = reader;
    if (streamId !== 0) return core.refuseFrame(ErrorCode.protocolError, 'SETTINGS on a stream');
    const ack = (reader.flags & Flag.ack) !== 0;
    if (ack && !core.peerSettingsSeen)
      return core.refuseFrame(ErrorCode.protocolError, 'The first frame is an acknowledgement');
    if (ack ? length !== 0 : length % SETTING_LENGTH !== 0)
      return core.refuseFrame(ErrorCode.frameSizeError, `SETTINGS has ${length} bytes`);
    if (length > SETTINGS_PER_FRAME_MAX * SETTING_LENGTH)
      return core.refuseFrame(ErrorCode.enhanceYourCalm, `SETTINGS has ${length} bytes`);
    return Delivery.whole;
  }

  /** RST_STREAM, PING, GOAWAY and WINDOW_UPDATE. */
  begin(reader: FrameReader): Delivery {
    const core = this.#core;
    const { type, length, streamId } = reader;
    const onConnection = type === FrameType.ping || type === FrameType.goaway;
    if (onConnection && streamId !== 0)
      return core.refuseFrame(ErrorCode.protocolError, 'PING or GOAWAY on a stream');
    if (type === FrameType.resetStream && streamId === 0)
      return core.refuseFrame(ErrorCode.protocolError, 'RST_STREAM on stream 0');
    if (type === FrameType.goaway) {
      if (length < 8)
        return core.refuseFrame(ErrorCode.frameSizeError, `GOAWAY has ${length} bytes`);
      if (length > GOAWAY_LENGTH_MAX)
        return core.refuseFrame(ErrorCode.enhanceYourCalm, `GOAWAY has ${length} bytes`);
    } else if (length !== (type === FrameType.ping ? PING_LENGTH : 4))
      return core.refuseFrame(ErrorCode.frameSizeError, `A control frame has ${length} bytes`);
    return Delivery.whole;
  }

  /** PRIORITY is deprecated (RFC 9113 section 5.3.2): only its form is looked at. */
  ignorePriority(reader: FrameReader): Delivery {
    const core = this.#core;
    if (reader.streamId === 0)
      return core.refuseFrame(ErrorCode.protocolError, 'PRIORITY on stream 0');
    if (!core.spend(core.guards.ignoredFrames)) return Delivery.skip;
    const stream = core.streams.get(reader.streamId);
    if (reader.length !== PRIORITY_LENGTH && stream !== undefined)
      core.streamError(stream, ErrorCode.frameSizeError);
    return Delivery.skip;
  }

  /** A SETTINGS frame that is not an acknowledgement. */
  onSettings(bytes: Buffer, start: number, end: number): void {
    const core = this.#core;
    if (!core.spend(core.guards.answers)) return;
    const before = core.peer.initialWindowSize;
    const code = applySettings(core.peer, bytes, start, end);
    if (code !== ErrorCode.noError) return core.fault(code, 'SETTINGS has a value out of range');
    if (core.role === 'client' && allowsPush(bytes, start, end))
      return core.fault(ErrorCode.protocolError, 'A server asks to be pushed to');
    core.encoder.setPeerLimit(core.peer.headerTableSize);
    if (!core.writer.settingsAck()) return core.outputFull();
    core.peerSettingsSeen = true;
    const opened = this.#widenStreams(core.peer.initialWindowSize - before);
    if (core.faulted) return;
    core.events.onPeerSettings();
    for (const stream of opened)
      if (stream.sendWindow > 0 && stream.canSend) core.events.onSendWindow(stream);
  }

  /** The peer applies our SETTINGS from here on. */
  onSettingsAck(): void {
    const core = this.#core;
    core.settingsAcked = true;
    // Until now the peer could use the default window, if that is the larger one.
    const change = Math.min(0, core.local.initialWindowSize - INITIAL_SETTINGS.initialWindowSize);
    if (change !== 0) for (const stream of core.streams.values()) stream.receive.left += change;
  }

  onWindowUpdate(streamId: number, increment: number): void {
    const core = this.#core;
    if (!core.spend(core.guards.windowUpdates)) return;
    if (streamId === 0) return this.#widenConnection(increment);
    const stream = core.streams.get(streamId);
    if (stream === undefined) {
      if (core.isIdle(streamId))
        core.fault(ErrorCode.protocolError, 'WINDOW_UPDATE on an idle stream');
      return;
    }
    if (increment === 0) return core.streamError(stream, ErrorCode.protocolError);
    if (overflows(stream.sendWindow, increment))
      return core.streamError(stream, ErrorCode.flowControlError);
    const wasClosed = stream.sendWindow <= 0;
    stream.sendWindow += increment;
    if (wasClosed && stream.sendWindow > 0 && stream.canSend) core.events.onSendWindow(stream);
  }

  onResetStream(streamId: number, code: number): void {
    const core = this.#core;
    const stream = core.streams.get(streamId);
    if (stream === undefined) {
      if (core.isIdle(streamId))
        core.fault(ErrorCode.protocolError, 'RST_STREAM on an idle stream');
      else core.spend(core.guards.ignoredFrames);
      return;
    }
    // Both sides have said everything: for the peer the stream is closed (RFC 9113 section 5.1), and its
    // reset takes nothing back.
    if (stream.bothEnded) return void core.spend(core.guards.ignoredFrames);
    // The user hears of it in any case: its work must stop even if the connection ends here.
    core.close(stream);
    core.events.onReset(stream, code, true);
    if (core.role === 'client' || stream.headersSent) return;
    if (core.guards.clockMs - stream.openedAtMs < RAPID_RESET_MS)
      core.spend(core.guards.peerResets);
  }

  onPing(ack: boolean, bytes: Buffer, start: number): void {
    const core = this.#core;
    if (!ack) {
      if (core.spend(core.guards.answers) && !core.writer.ping(true, bytes, start))
        core.outputFull();
      return;
    }
    if (core.pingsWaiting === 0) return void core.spend(core.guards.ignoredFrames);
    core.pingsWaiting--;
    core.events.onPong(readUint32(bytes, start) * 2 ** 32 + readUint32(bytes, start + 4));
  }

  onGoaway(bytes: Buffer, start: number, end: number): void {
    const core = this.#core;
    if (!core.spend(core.guards.ignoredFrames)) return;
    const lastStreamId = readUint31(bytes, start);
    if (lastStreamId > (core.goawayReceived ?? MAX_31_BITS))
      return core.fault(ErrorCode.protocolError, 'GOAWAY raises the last stream');
    core.goawayReceived = lastStreamId;
    const code = readUint32(bytes, start + 4);
    core.events.onGoaway(lastStreamId, code, bytes.toString('latin1', start + 8, end));
    if (core.role === 'server') return;
    for (const stream of core.streams.values()) {
      if (stream.id <= lastStreamId) continue;
      core.close(stream);
      core.events.onReset(stream, ErrorCode.refusedStream, true);
    }
  }

  /** A new initial window holds for open streams too (RFC 9113 section 6.9.2). Returns those that may send again. */
  #widenStreams(change: number): Http2Stream[] {
    const core = this.#core;
    const opened: Http2Stream[] = [];
    if (change === 0) return opened;
    for (const stream of core.streams.values()) {
      if (overflows(stream.sendWindow, change)) {
        core.fault(ErrorCode.flowControlError, 'SETTINGS overflow a window');
        return opened;
      }
      const before = stream.sendWindow;
      stream.sendWindow += change;
      if (before <= 0 && stream.sendWindow > 0) opened.push(stream);
    }
    return opened;
  }

  #widenConnection(increment: number): void {
    const core = this.#core;
    if (increment === 0) return core.fault(ErrorCode.protocolError, 'WINDOW_UPDATE of 0');
    if (overflows(core.sendWindow, increment))
      return core.fault(
        ErrorCode.flowControlError,
        "WINDOW_UPDATE overflows the connection's window",
      );
    const wasClosed = core.sendWindow <= 0;
    core.sendWindow += increment;
    if (wasClosed) core.events.onSendWindow(undefined);
  }
}

/** Does this payload set ENABLE_PUSH to 1? A server must not (RFC 9113 section 6.5.2). */
function allowsPush(bytes: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at += SETTING_LENGTH)
    if (bytes.readUInt16BE(at) === 0x2 && readUint32(bytes, at + 2) === 1) return true;
  return false;
}
