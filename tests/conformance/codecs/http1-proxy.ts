import { connect, createServer, type Server, type Socket } from 'node:net';

import { ByteOutput } from '#codec/http1/byte-output.ts';
import { Http1Client } from '#codec/http1/client.ts';
import type { Http1Events } from '#codec/http1/events.ts';
import { faultStatus, type Http1Fault } from '#codec/http1/faults.ts';
import type { Head } from '#codec/http1/head.ts';
import { allocateHeadTables } from '#codec/http1/message-reader.ts';
import { Http1Server } from '#codec/http1/server.ts';
import { requestToHttp2, responseToHttp2, trailersToHttp2 } from '#codec/http1/to-http2.ts';
import type { Header } from '#codec/http2/field.ts';

export interface ProxyOptions {
  /** Received bytes are given to the codec in pieces of so many. */
  readonly pieceBytes: number;
  /** Heads go on as header lists of HTTP/2 instead of in place. */
  readonly asLists: boolean;
  /** Both codecs are exported and restored behind every piece. */
  readonly handsOver: boolean;
}

/** Larger than any head here; bodies go through it part by part. */
const OUTPUT_BYTES = 16_384;
const OUTPUT = Buffer.alloc(OUTPUT_BYTES);
const REQUESTS = allocateHeadTables('request');
const RESPONSES = allocateHeadTables('response');

/** What the tests look at. */
export interface ProxyRecord {
  readonly faults: Http1Fault[];
  upstreamConnections: number;
}

/** A proxy of the two codecs and sockets: one connection to the server for each one of a client. */
export function startProxy(serverPort: number, options: ProxyOptions, record: ProxyRecord): Server {
  return createServer({ allowHalfOpen: true }, (socket) => {
    const exchange = new ProxiedConnection(socket, serverPort, options, record);
    socket.on('data', (bytes: Buffer) => exchange.onClientData(bytes));
    socket.on('end', () => exchange.onClientEnd());
    socket.on('close', () => exchange.close());
    socket.on('error', () => exchange.close());
  });
}

class ProxiedConnection {
  readonly #down: Socket;
  readonly #serverPort: number;
  readonly #options: ProxyOptions;
  readonly #record: ProxyRecord;
  #up: Socket | undefined;
  #server: Http1Server;
  #client: Http1Client | undefined;
  /** What the server has not taken yet. */
  #rest: Buffer = Buffer.alloc(0);
  #clientEnded = false;
  readonly #output = new ByteOutput();
  readonly #requests: Http1Events;
  readonly #responses: Http1Events;

  // oxlint-disable-next-line max-params -- a test's helper
  constructor(down: Socket, serverPort: number, options: ProxyOptions, record: ProxyRecord) {
    this.#down = down;
    this.#serverPort = serverPort;
    this.#options = options;
    this.#record = record;
    this.#requests = {
      onHead: (head) => this.#onRequest(head),
      onBody: (bytes, start, end) => this.#toServer(bytes, start, end),
      onEnd: (trailers) => this.#onRequestEnd(trailers),
      onFault: (fault) => this.#onRequestFault(fault),
    };
    this.#responses = {
      onHead: (head) => this.#onResponse(head),
      onBody: (bytes, start, end) => this.#toClient(bytes, start, end),
      onEnd: (trailers) => this.#onResponseEnd(trailers),
      onFault: (fault) => this.#onResponseFault(fault),
    };
    this.#server = new Http1Server({}, REQUESTS, this.#requests);
  }

  onClientData(bytes: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    this.#pump();
  }

  onClientEnd(): void {
    this.#clientEnded = true;
    this.#pump();
  }

  close(): void {
    this.#down.destroy();
    this.#up?.destroy();
  }

  /** Gives the server what it takes; also behind every response, for requests that were sent ahead. */
  #pump(): void {
    while (this.#rest.length > 0 && this.#server.wantsInput) {
      const end = Math.min(this.#rest.length, this.#options.pieceBytes);
      // A copy that is spoilt afterwards: nobody may keep looking at it.
      const piece = Buffer.from(this.#rest.subarray(0, end));
      const at = this.#server.receive(piece, 0, end);
      piece.fill(0);
      this.#rest = this.#rest.subarray(at);
      if (this.#options.handsOver) {
        const state = structuredClone(this.#server.export());
        this.#server = Http1Server.restore(state, REQUESTS, this.#requests);
      }
      if (at < end) break;
    }
    if (this.#rest.length === 0 && this.#clientEnded) this.#server.receiveEnd();
    if (this.#server.sendingEnded || this.#server.finished) this.#down.end();
  }

  #onServerData(client: Http1Client, bytes: Buffer): void {
    for (let start = 0; start < bytes.length; start += this.#options.pieceBytes) {
      const piece = Buffer.from(bytes.subarray(start, start + this.#options.pieceBytes));
      // Only the last connection is looked at; what comes on an older one was not asked for.
      if (client !== this.#client && !this.#options.handsOver) return;
      this.#client?.receive(piece, 0, piece.length);
      piece.fill(0);
      if (this.#options.handsOver && this.#client !== undefined) {
        const state = structuredClone(this.#client.export());
        this.#client = Http1Client.restore(state, RESPONSES, this.#responses);
      }
    }
    this.#pump();
  }

  #dial(): Http1Client {
    this.#up?.destroy();
    const up = connect({ port: this.#serverPort, host: '127.0.0.1', allowHalfOpen: true });
    const client = new Http1Client({}, RESPONSES, this.#responses);
    this.#record.upstreamConnections++;
    this.#up = up;
    this.#client = client;
    up.on('data', (bytes: Buffer) => this.#onServerData(client, bytes));
    up.on('end', () => {
      if (this.#up !== up) return;
      this.#client?.receiveEnd();
      this.#pump();
    });
    up.on('error', () => up.destroy());
    return client;
  }

  #onRequest(head: Head): void {
    const client = this.#client?.reusable === true ? this.#client : this.#dial();
    const plan = { extra: [['x-via', 'ambit']] } as const;
    const ended = head.framing === 'none';
    this.#write(this.#up, () =>
      this.#options.asLists && head.upgrade === ''
        ? client.sendHeaders(this.#output, requestToHttp2(head, 'http', plan), ended)
        : client.sendHead(this.#output, head, plan),
    );
  }

  #onRequestEnd(trailers: Head | undefined): void {
    const client = this.#client;
    if (client === undefined) return;
    this.#write(this.#up, () => client.sendEnd(this.#output, this.#listed(trailers)));
    if (client.sendingEnded) this.#up?.end();
  }

  #onRequestFault(fault: Http1Fault): void {
    this.#record.faults.push(fault);
    this.#up?.destroy();
    this.#respond(faultStatus(fault));
  }

  #onResponse(head: Head): void {
    const plan = { extra: [['x-back', 'ambit']] } as const;
    const server = this.#server;
    this.#write(this.#down, () =>
      this.#options.asLists && head.status !== 101
        ? server.sendHeaders(this.#output, responseToHttp2(head, plan), head.framing === 'none')
        : server.sendHead(this.#output, head, plan),
    );
  }

  #onResponseEnd(trailers: Head | undefined): void {
    const server = this.#server;
    this.#write(this.#down, () => server.sendEnd(this.#output, this.#listed(trailers)));
    if (server.sendingEnded) this.#down.end();
  }

  #onResponseFault(fault: Http1Fault): void {
    this.#record.faults.push(fault);
    this.#up?.destroy();
    if (this.#server.canRespond && this.#server.phase !== 'idle') return this.#respond(502);
    if (this.#server.phase === 'idle') return;
    this.#server.abort();
    this.#down.destroy();
  }

  #respond(status: number): void {
    const server = this.#server;
    if (!server.canRespond) return void this.#down.destroy();
    const headers: Header[] = [[':status', String(status)]];
    this.#write(this.#down, () => server.sendHeaders(this.#output, headers, true, { close: true }));
    this.#write(this.#down, () => server.sendEnd(this.#output));
    this.#down.end();
  }

  #toServer(bytes: Buffer, start: number, end: number): void {
    const client = this.#client;
    if (client === undefined) return;
    let at = start;
    while (at < end) {
      this.#output.point(OUTPUT, 0, OUTPUT_BYTES);
      at = client.sendBody(this.#output, bytes, at, end);
      this.#flush(this.#up);
    }
  }

  #toClient(bytes: Buffer, start: number, end: number): void {
    let at = start;
    while (at < end) {
      this.#output.point(OUTPUT, 0, OUTPUT_BYTES);
      at = this.#server.sendBody(this.#output, bytes, at, end);
      this.#flush(this.#down);
    }
  }

  #write(socket: Socket | undefined, work: () => boolean): void {
    this.#output.point(OUTPUT, 0, OUTPUT_BYTES);
    if (!work()) throw new Error('The output is too small for a head');
    this.#flush(socket);
  }

  #flush(socket: Socket | undefined): void {
    const { end } = this.#output;
    if (end > 0) socket?.write(Buffer.from(OUTPUT.subarray(0, end)));
  }

  #listed(trailers: Head | undefined): Head | readonly Header[] | undefined {
    return trailers !== undefined && this.#options.asLists ? trailersToHttp2(trailers) : trailers;
  }
}
