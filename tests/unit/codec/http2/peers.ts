import { Http2Connection } from '#codec/http2/connection.ts';
import type { Http2Events } from '#codec/http2/events.ts';
import type { Header } from '#codec/http2/field.ts';
import type { Http2Output } from '#codec/http2/frame-writer.ts';
import type { Http2Options, Role } from '#codec/http2/options.ts';
import type { Http2Stream } from '#codec/http2/stream-state.ts';

/** An output that grows, up to a limit. */
export class GrowingOutput implements Http2Output {
  bytes: Buffer = Buffer.alloc(64);
  end: number = 0;
  limit: number = Number.POSITIVE_INFINITY;

  reserve(length: number): boolean {
    if (this.end + length > this.limit) return false;
    if (this.end + length > this.bytes.length) {
      const larger = Buffer.alloc(2 * (this.end + length));
      this.bytes.copy(larger, 0, 0, this.end);
      this.bytes = larger;
    }
    return true;
  }

  /** What was written since the last call. */
  take(): Buffer {
    const written = Buffer.from(this.bytes.subarray(0, this.end));
    this.end = 0;
    return written;
  }
}

/** An event as a line that can be compared. */
export type Event = readonly [name: string, ...details: unknown[]];

/** Writes down every event. Neighbouring pieces of one stream's data become one line. */
export class Recorder implements Http2Events {
  readonly events: Event[] = [];
  readonly streams: Map<number, Http2Stream> = new Map();
  /** Give the bytes back to the peer at once. */
  consumes: Http2Connection | undefined;

  onHeaders(stream: Http2Stream, headers: readonly Header[], endStream: boolean): void {
    this.streams.set(stream.id, stream);
    this.events.push(['headers', stream.id, headers.map(([n, v]) => `${n}: ${v}`), endStream]);
  }

  // oxlint-disable-next-line max-params -- as Http2Events has it
  onData(stream: Http2Stream, bytes: Buffer, start: number, end: number, endStream: boolean): void {
    const text = bytes.toString('latin1', start, end);
    const last = this.events.at(-1);
    if (last?.[0] === 'data' && last[1] === stream.id && last[3] === false)
      this.events[this.events.length - 1] = [
        'data',
        stream.id,
        `${String(last[2])}${text}`,
        endStream,
      ];
    else this.events.push(['data', stream.id, text, endStream]);
    this.consumes?.consume(stream, end - start);
  }

  onReset(stream: Http2Stream, code: number, byPeer: boolean): void {
    this.events.push(['reset', stream.id, code, byPeer]);
  }

  onSendWindow(stream: Http2Stream | undefined): void {
    this.events.push(['window', stream?.id]);
  }

  onPeerSettings(): void {
    this.events.push(['settings']);
  }

  onPong(payload: number): void {
    this.events.push(['pong', payload]);
  }

  onGoaway(lastStreamId: number, code: number, debug: string): void {
    this.events.push(['goaway', lastStreamId, code, debug]);
  }

  onConnectionError(code: number, reason: string): void {
    this.events.push(['fault', code, reason]);
  }

  /** The events since the last call. */
  take(): Event[] {
    return this.events.splice(0);
  }
}

/** One end of a connection with its output and its events. */
export class Peer {
  connection: Http2Connection;
  readonly output: GrowingOutput = new GrowingOutput();
  readonly recorder: Recorder = new Recorder();

  constructor(role: Role, options: Http2Options = {}) {
    this.connection = new Http2Connection(role, options, this.recorder, this.output);
    this.connection.start();
  }

  receive(bytes: Buffer, nowMs = 0): void {
    this.connection.receive(bytes, 0, bytes.length, nowMs);
  }

  /** The stream of this id, as an event has shown it. */
  stream(id: number): Http2Stream {
    const stream = this.recorder.streams.get(id);
    if (stream === undefined) throw new Error(`No event has shown stream ${id}`);
    return stream;
  }
}

/** Carries bytes between two ends until both have nothing more to say. */
export function exchange(a: Peer, b: Peer): void {
  while (a.output.end > 0 || b.output.end > 0) {
    b.receive(a.output.take());
    a.receive(b.output.take());
  }
}

/** A client and a server that have seen each other's settings. */
export function connectedPair(
  clientOptions: Http2Options = {},
  serverOptions: Http2Options = {},
): [client: Peer, server: Peer] {
  const client = new Peer('client', clientOptions);
  const server = new Peer('server', serverOptions);
  exchange(client, server);
  client.recorder.take();
  server.recorder.take();
  return [client, server];
}

export const CONNECT: readonly Header[] = [
  [':method', 'CONNECT'],
  [':authority', '10.0.0.1:80'],
];
export const OK: readonly Header[] = [[':status', '200']];
