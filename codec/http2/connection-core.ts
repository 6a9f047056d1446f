import { ClosedStreams } from './closed-streams.ts';
import type { Http2Events } from './events.ts';
import { creditThreshold, ReceiveWindow } from './flow-control.ts';
import { ErrorCode, MAX_31_BITS } from './frame.ts';
import { Delivery } from './frame-reader.ts';
import { FrameWriter, type Http2Output } from './frame-writer.ts';
import { type Budget, Guards } from './guards.ts';
import { HpackEncoder } from './hpack-encoder.ts';
import { type Http2Options, http2Options, type Role } from './options.ts';
import { INITIAL_SETTINGS, type Settings, UNLIMITED } from './settings.ts';
import { Http2Stream } from './stream-state.ts';

/**
 * What the parts of a connection share: its streams, windows, settings and budgets, and the few things that
 * all of them do (open and close a stream, report an error, give credit back). Not for users of the codec.
 */
export class ConnectionCore {
  readonly role: Role;
  readonly options: Required<Http2Options>;
  readonly local: Readonly<Settings>;
  readonly events: Http2Events;
  readonly writer: FrameWriter;
  readonly guards: Guards;
  readonly closedStreams: ClosedStreams = new ClosedStreams();
  readonly streams: Map<number, Http2Stream> = new Map();
  /** Of {@link streams}: those that both sides have ended. For the peer they are closed. */
  lingering = 0;
  readonly peer: Settings = { ...INITIAL_SETTINGS };
  encoder: HpackEncoder;
  peerSettingsSeen = false;
  settingsAcked = false;
  faulted = false;

  /** What we may still send on all streams together. */
  sendWindow: number = INITIAL_SETTINGS.initialWindowSize;
  readonly receive: ReceiveWindow = new ReceiveWindow(INITIAL_SETTINGS.initialWindowSize);
  /** A WINDOW_UPDATE found no room. */
  creditWithheld = false;
  readonly #streamThreshold: number;
  readonly #connectionThreshold: number;

  nextStreamId = 1;
  /** The highest stream that the peer has opened, processed or not. */
  highestPeerStream = 0;
  /** The highest stream of the peer that the user has seen. */
  lastProcessed = 0;
  /** Streams of the peer above this one are not looked at: our last GOAWAY said so. */
  refuseAbove: number = MAX_31_BITS;
  goawaySent = false;
  /** The last stream that the peer's GOAWAY named, undefined without one. */
  goawayReceived: number | undefined;
  pingsWaiting = 0;

  constructor(role: Role, options: Http2Options, events: Http2Events, output: Http2Output) {
    this.role = role;
    this.options = http2Options(role, options);
    this.local = localSettings(role, this.options);
    this.events = events;
    this.writer = new FrameWriter(output);
    this.guards = new Guards(this.options.connectionWindow);
    this.encoder = new HpackEncoder(this.options.huffman);
    const { initialWindowSize, connectionWindow, windowUpdateShare } = this.options;
    this.#streamThreshold = creditThreshold(initialWindowSize, windowUpdateShare);
    this.#connectionThreshold = creditThreshold(connectionWindow, windowUpdateShare);
  }

  newStream(streamId: number): Http2Stream {
    // Until our SETTINGS are acknowledged the peer may use the default, if that is the larger window.
    const receiveWindow = this.settingsAcked
      ? this.local.initialWindowSize
      : Math.max(this.local.initialWindowSize, INITIAL_SETTINGS.initialWindowSize);
    const stream = new Http2Stream(streamId, this.peer.initialWindowSize, receiveWindow);
    stream.openedAtMs = this.guards.clockMs;
    this.streams.set(streamId, stream);
    this.guards.onStream();
    return stream;
  }

  /** Has nobody opened this stream yet? */
  isIdle(streamId: number): boolean {
    if (streamId % 2 === 0) return true;
    return this.role === 'server'
      ? streamId > this.highestPeerStream
      : streamId >= this.nextStreamId;
  }

  /** The peer has sent END_STREAM: it needs no more credit for this stream. */
  endRemote(stream: Http2Stream): void {
    stream.remoteEnded = true;
    stream.receive.credit = 0;
  }

  endLocal(stream: Http2Stream): void {
    stream.localEnded = true;
    this.closeIfDone(stream);
  }

  /**
   * Forgets a stream that both sides have ended once its bytes are consumed. Until then it holds its place and
   * the connection's credit: what is waiting for a slow reader stays bounded, and can move to another process.
   */
  closeIfDone(stream: Http2Stream): void {
    if (!stream.bothEnded || stream.closed) return;
    if (stream.unconsumed === 0) this.close(stream);
    else if (!stream.lingering) this.#linger(stream);
  }

  /** Takes over a stream of another process. */
  adopt(stream: Http2Stream): void {
    this.streams.set(stream.id, stream);
    if (stream.bothEnded) this.#linger(stream);
  }

  /** Streams that count for the limits of either side (RFC 9113 section 5.1.2). */
  get openStreams(): number {
    return this.streams.size - this.lingering;
  }

  #linger(stream: Http2Stream): void {
    stream.lingering = true;
    this.lingering++;
  }

  /** Forgets a stream, consumed or not. Bytes that it still held count as consumed for the connection. */
  close(stream: Http2Stream): void {
    if (stream.closed) return;
    stream.closed = true;
    this.streams.delete(stream.id);
    if (stream.lingering) this.lingering--;
    const held = stream.unconsumed;
    stream.unconsumed = 0;
    this.giveCredit(held);
  }

  giveStreamCredit(stream: Http2Stream, length: number): void {
    if (stream.remoteEnded || stream.closed) return;
    const window = stream.receive;
    window.credit += length;
    if (window.credit < this.#streamThreshold || this.faulted) return;
    if (this.writer.windowUpdate(stream.id, window.credit)) window.announce();
    else this.creditWithheld = true;
  }

  giveCredit(length: number): void {
    const window = this.receive;
    window.credit += length;
    if (window.credit < this.#connectionThreshold || this.faulted) return;
    if (this.writer.windowUpdate(0, window.credit)) window.announce();
    else this.creditWithheld = true;
  }

  /** A stream error on an open stream (RFC 9113 section 5.4.2). */
  streamError(stream: Http2Stream, code: number): void {
    this.closedStreams.remember(stream.id, stream.receive.left);
    this.close(stream);
    this.events.onReset(stream, code, false);
    this.#writeOwnReset(stream.id, code);
  }

  /** The same for a stream that the user has never seen, or sees no more. */
  refuseStream(streamId: number, code: number): void {
    this.closedStreams.remember(streamId, this.options.initialWindowSize);
    this.#writeOwnReset(streamId, code);
  }

  /** Takes one from a budget; false, and a fault, when there is none left. */
  spend(budget: Budget): boolean {
    if (budget.spend()) return true;
    this.overrun(budget);
    return false;
  }

  overrun(budget: Budget): void {
    this.fault(ErrorCode.enhanceYourCalm, `Too many: ${budget.reason}`);
  }

  /** A control frame found no room. A peer that reads nothing must not make us hold its answers. */
  outputFull(): void {
    this.fault(ErrorCode.enhanceYourCalm, 'The peer does not read what it asked for');
  }

  /** A connection error (RFC 9113 section 5.4.1): nothing is read or written any more. */
  fault(code: number, reason: string): void {
    if (this.faulted) return;
    this.faulted = true;
    this.writer.goaway(this.lastProcessed, code, reason);
    this.events.onConnectionError(code, reason);
  }

  /** A fault because of the frame that begins here: its payload is of no interest. */
  refuseFrame(code: number, reason: string): Delivery {
    this.fault(code, reason);
    return Delivery.skip;
  }

  #writeOwnReset(streamId: number, code: number): void {
    if (this.faulted || !this.spend(this.guards.ownResets)) return;
    if (!this.writer.resetStream(streamId, code)) this.outputFull();
  }
}

function localSettings(role: Role, options: Required<Http2Options>): Settings {
  return {
    headerTableSize: options.headerTableSize,
    // A server has nothing to say here; a client refuses to be pushed to.
    enablePush: role === 'server',
    maxConcurrentStreams: role === 'server' ? options.maxConcurrentStreams : UNLIMITED,
    initialWindowSize: options.initialWindowSize,
    maxFrameSize: options.maxFrameSize,
    maxHeaderListSize: options.maxHeaderListSize,
  };
}
