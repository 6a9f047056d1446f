import { ByteOutput } from '#codec/http1/byte-output.ts';
import { Http1Client, type Http1ClientState } from '#codec/http1/client.ts';
import { allocateHeadTables } from '#codec/http1/message-reader.ts';
import type { Http1Options } from '#codec/http1/options.ts';
import { Http1Server, type Http1ServerState } from '#codec/http1/server.ts';

import { Recorder } from './recorder.ts';

const REQUESTS = allocateHeadTables('request');
const RESPONSES = allocateHeadTables('response');

/** An output with room for everything. */
export function roomy(): ByteOutput {
  return new ByteOutput().point(Buffer.alloc(1 << 18), 0, 1 << 18);
}

/** What was written, which is forgotten. */
export function written(output: ByteOutput): string {
  const text = output.bytes.toString('latin1', 0, output.end);
  output.end = 0;
  return text;
}

export class ServerPeer {
  readonly recorder: Recorder = new Recorder();
  readonly output: ByteOutput = roomy();
  server: Http1Server;
  /** What the server has not taken. */
  rest: Buffer = Buffer.alloc(0);

  constructor(options: Http1Options = {}) {
    this.server = new Http1Server(options, REQUESTS, this.recorder);
  }

  /** Gives what was left before, then this. */
  receive(text: string | Buffer): void {
    const more = typeof text === 'string' ? Buffer.from(text, 'latin1') : text;
    const bytes = Buffer.concat([this.rest, more]);
    this.rest = bytes.subarray(this.server.receive(bytes, 0, bytes.length));
  }

  /** A whole response made here. */
  respond(status: number, body: string): string {
    const headers = [
      [':status', String(status)],
      ['content-length', String(body.length)],
    ] as const;
    this.server.sendHeaders(this.output, headers, false);
    const bytes = Buffer.from(body, 'latin1');
    this.server.sendBody(this.output, bytes, 0, bytes.length);
    this.server.sendEnd(this.output);
    return written(this.output);
  }

  handOver(): void {
    const state = JSON.parse(JSON.stringify(plain(this.server.export())), revive);
    this.server = Http1Server.restore(state, REQUESTS, this.recorder);
  }
}

export class ClientPeer {
  readonly recorder: Recorder = new Recorder();
  readonly output: ByteOutput = roomy();
  client: Http1Client;

  constructor(options: Http1Options = {}) {
    this.client = new Http1Client(options, RESPONSES, this.recorder);
  }

  /** Sends a request without content. */
  ask(method: string, ...fields: (readonly [string, string])[]): string {
    const pseudo = [
      [':method', method],
      [':path', '/'],
      [':authority', 'a'],
    ] as const;
    this.client.sendHeaders(this.output, [...pseudo, ...fields], true);
    this.client.sendEnd(this.output);
    return written(this.output);
  }

  receive(text: string | Buffer): number {
    const bytes = typeof text === 'string' ? Buffer.from(text, 'latin1') : text;
    return this.client.receive(bytes, 0, bytes.length);
  }

  handOver(): void {
    const state = JSON.parse(JSON.stringify(plain(this.client.export())), revive);
    this.client = Http1Client.restore(state, RESPONSES, this.recorder);
  }
}

/** Bytes as arrays of numbers, so that JSON carries them. */
function plain(state: Http1ServerState | Http1ClientState): unknown {
  return { ...state, reader: { ...state.reader, partial: Array.from(state.reader.partial) } };
}

function revive(key: string, value: unknown): unknown {
  return key === 'partial' ? Uint8Array.from(value as number[]) : value;
}
