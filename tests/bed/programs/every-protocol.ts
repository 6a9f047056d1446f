// An application that a pod runs: small services in the protocols that a waypoint carries.
//
//   node tests/bed/programs/every-protocol.ts NAME
//
//   8080  HTTP/1.1, and WebSocket on /socket: sends back what it receives; `bye` closes with 4001 `as you wish`
//   8081  the same HTTP in HTTP/2, without TLS
//   8082  gRPC, see ../grpc-peer.ts
//   9000  sends back what it receives
//   9001  greets with `220 NAME` and a line end; then sends back what it receives
//
// HTTP: POST /digest answers `COUNT SHA-256` of the body, GET /bytes?count=N sends a pattern of so many bytes with the digest
// as trailer `x-digest`, POST /echo sends the body back, GET /events?topic=T keeps on sending events, GET /wait?topic=T waits
// for one, POST /tell?topic=T makes one of its body and answers how many heard it, GET /slow?ms=N answers late, GET /big?bytes=N
// has a large header. Everything else is answered with what was asked and by whom.
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import {
  createServer as createHttp2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
} from 'node:http2';
import { createServer as createTcpServer } from 'node:net';
import { text } from 'node:stream/consumers';

import {
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import { WebSocketServer } from 'ws';

import { PEER } from '../grpc-peer.ts';
import { pattern } from './pattern.ts';

const [name = 'nobody'] = process.argv.slice(2);

// --- HTTP

type Request = IncomingMessage | Http2ServerRequest;
/** What both versions have. */
interface Response {
  writeHead(status: number, fields: Readonly<Record<string, string>>): unknown;
  write(chunk: string | Buffer): boolean;
  addTrailers(fields: Readonly<Record<string, string>>): void;
  end(chunk: string | Buffer): unknown;
  end(): unknown;
  once(event: 'drain' | 'close', listener: () => void): unknown;
}

const PLAIN = { 'content-type': 'text/plain' };
/** Who waits for an event, by topic; true: for all of them. */
const topics = new Map<string, Map<Response, boolean>>();

const answers: Readonly<
  Record<string, (request: Request, response: Response, query: URLSearchParams) => Promise<void>>
> = {
  '/digest': digest,
  '/bytes': bytes,
  '/echo': echo,
  '/events': async (_request, response, query) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('data: welcome\n\n');
    await Promise.resolve(subscribe(response, query, true));
  },
  '/wait': async (_request, response, query) => Promise.resolve(subscribe(response, query, false)),
  '/tell': tell,
  '/slow': async (_request, response, query) => {
    await new Promise((resolve) => setTimeout(resolve, Number(query.get('ms'))));
    response.writeHead(200, PLAIN);
    response.end(`${name}\n`);
  },
  '/big': async (_request, response, query) => {
    response.writeHead(200, { ...PLAIN, 'x-big': 'b'.repeat(Number(query.get('bytes'))) });
    await Promise.resolve(response.end('big\n'));
  },
};

function serve(request: Request, response: Response): void {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://peer');
  const answer = answers[pathname] ?? describeRequest;
  answer(request, response, searchParams).catch((error: unknown) => {
    process.stderr.write(`${request.method} ${request.url}: ${String(error)}\n`);
    request.destroy();
  });
}

async function digest(request: Request, response: Response): Promise<void> {
  const hash = createHash('sha256');
  let count = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    hash.update(chunk);
    count += chunk.length;
  }
  response.writeHead(200, PLAIN);
  response.end(`${count} ${hash.digest('hex')}\n`);
}

async function bytes(request: Request, response: Response, query: URLSearchParams): Promise<void> {
  if (request.method === 'HEAD') {
    response.writeHead(200, { 'content-length': query.get('count') ?? '0' });
    response.end();
    return;
  }
  const hash = createHash('sha256');
  response.writeHead(200, { 'content-type': 'application/octet-stream', trailer: 'x-digest' });
  for (const chunk of pattern(Number(query.get('count')))) {
    hash.update(chunk);
    if (!response.write(chunk)) {
      await new Promise<void>((resolve) => response.once('drain', resolve));
    }
  }
  response.addTrailers({ 'x-digest': hash.digest('hex') });
  response.end();
}

async function echo(request: Request, response: Response): Promise<void> {
  response.writeHead(200, PLAIN);
  for await (const chunk of request as AsyncIterable<Buffer>) response.write(chunk);
  response.end();
}

function subscribe(response: Response, query: URLSearchParams, stays: boolean): void {
  const topic = query.get('topic') ?? '';
  const waiting = topics.get(topic) ?? new Map<Response, boolean>();
  topics.set(topic, waiting.set(response, stays));
  response.once('close', () => waiting.delete(response));
}

async function tell(request: Request, response: Response, query: URLSearchParams): Promise<void> {
  const event = await text(request);
  const waiting = topics.get(query.get('topic') ?? '') ?? new Map<Response, boolean>();
  const heard = waiting.size;
  for (const [one, stays] of waiting) {
    if (stays) one.write(`data: ${event}\n\n`);
    else {
      one.writeHead(200, PLAIN);
      one.end(event);
      waiting.delete(one);
    }
  }
  response.writeHead(200, PLAIN);
  response.end(String(heard));
}

async function describeRequest(request: Request, response: Response): Promise<void> {
  const body = await text(request);
  const { method, url, headers, httpVersion } = request;
  response.writeHead(200, { 'content-type': 'application/json', 'x-served-by': name });
  response.end(`${JSON.stringify({ name, method, url, httpVersion, headers, body })}\n`);
}

const http1 = createServer((request: IncomingMessage, response: ServerResponse) =>
  serve(request, response),
);
http1.keepAliveTimeout = 0; // a tunnel's connections live for as long as the client wants
const http2 = createHttp2Server((request: Http2ServerRequest, response: Http2ServerResponse) =>
  serve(request, response),
);

const sockets = new WebSocketServer({ server: http1, path: '/socket' });
sockets.on('connection', (socket) => {
  socket.on('error', () => socket.terminate());
  socket.on('message', (data: Buffer, isBinary) => {
    if (!isBinary && data.toString() === 'bye') socket.close(4001, 'as you wish');
    else socket.send(data, { binary: isBinary });
  });
});

// --- gRPC

let hung = 0;

function ownMetadata(metadata: Metadata): Metadata {
  const own = new Metadata();
  for (const [key, value] of Object.entries(metadata.getMap())) {
    if (key.startsWith('x-') && key !== 'x-request-id') own.set(key, value);
  }
  return own;
}

const grpc = new Server();
grpc.addService(PEER, {
  Say: (call: ServerUnaryCall<string, string>, done: sendUnaryData<string>) => {
    const own = ownMetadata(call.metadata);
    call.sendMetadata(own);
    done(null, `${name}: ${call.request}`, own);
  },
  Collect: (call: ServerReadableStream<string, string>, done: sendUnaryData<string>) => {
    const texts: string[] = [];
    call.on('error', () => undefined);
    call.on('data', (one: string) => texts.push(one));
    call.on('end', () => done(null, texts.join(' ')));
  },
  Count: (call: ServerWritableStream<string, string>) => {
    const last = new Metadata();
    last.set('x-count', call.request);
    for (let at = 0; at < Number(call.request); at++) call.write(String(at));
    call.end(last);
  },
  Talk: (call: ServerDuplexStream<string, string>) => {
    call.on('error', () => undefined);
    call.on('data', (one: string) => call.write(`${name}: ${one}`));
    call.on('end', () => call.end());
  },
  Refuse: (call: ServerUnaryCall<string, string>, done: sendUnaryData<string>) => {
    const [code = '', ...words] = call.request.split(' ');
    done({ code: status[code as keyof typeof status], details: words.join(' ') }, null);
  },
  Hang: (call: ServerWritableStream<string, string>) => {
    hung++;
    call.on('cancelled', () => hung--);
    call.write('hanging');
  },
  Hung: (_call: ServerUnaryCall<string, string>, done: sendUnaryData<string>) =>
    done(null, String(hung)),
});

// --- Bytes

const tcp = createTcpServer({ allowHalfOpen: true }, (socket) => {
  socket.on('error', () => socket.destroy());
  socket.pipe(socket);
});
const greeter = createTcpServer({ allowHalfOpen: true }, (socket) => {
  socket.on('error', () => socket.destroy());
  socket.write(`220 ${name}\r\n`);
  socket.pipe(socket);
});

http1.listen(8080);
http2.listen(8081);
grpc.bindAsync('0.0.0.0:8082', ServerCredentials.createInsecure(), (error) => {
  if (error !== null) throw error;
});
tcp.listen(9000);
greeter.listen(9001);
