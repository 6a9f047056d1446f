import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  Agent,
  type ClientRequest,
  createServer,
  type IncomingMessage,
  type RequestOptions,
  request,
  type Server,
  type ServerResponse,
} from 'node:http';
import { type AddressInfo, connect, type Server as NetServer, type Socket } from 'node:net';
import { buffer, text } from 'node:stream/consumers';

import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';

import { type ProxyOptions, type ProxyRecord, startProxy } from './http1-proxy.ts';

// node:http (llhttp) on both sides of a proxy of our codecs: what it sends we must understand, and the other way round.

const BODY = Buffer.alloc(300_000, 'ambit ');
const WHOLE: ProxyOptions = { pieceBytes: 1 << 20, asLists: false, handsOver: false };

let backend: Server;
let proxy: NetServer;
let agent: Agent;
let record: ProxyRecord;
const clients = new Set<Socket>();

async function start(options: ProxyOptions): Promise<void> {
  record = { faults: [], upstreamConnections: 0 };
  agent = new Agent({ keepAlive: true, maxSockets: 1 });
  backend = createServer(answer);
  backend.on('checkContinue', onExpect);
  backend.on('upgrade', (incoming, socket: Socket, head: Buffer) => {
    const key = incoming.headers['sec-websocket-key'];
    if (key === undefined) onUpgrade(socket, head);
    else onWebSocket(socket, key);
  });
  proxy = startProxy(await listen(backend), options, record);
  await listen(proxy);
}

function stop(): void {
  agent.destroy();
  for (const socket of clients) socket.destroy();
  clients.clear();
  proxy.close();
  backend.closeAllConnections();
  backend.close();
}

async function listen(server: NetServer): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** The answer depends on the path; everything but /big tells what came in. */
function answer(incoming: IncomingMessage, outgoing: ServerResponse): void {
  const path = incoming.url ?? '';
  if (path === '/big')
    return void outgoing.writeHead(200, { 'content-length': BODY.length }).end(BODY);
  if (path === '/streamed') return streamed(outgoing);
  if (path === '/empty') return void outgoing.writeHead(204).end();
  if (path === '/same') return void outgoing.writeHead(304, { etag: '"x"' }).end();
  if (path === '/close') outgoing.setHeader('connection', 'close');
  if (path === '/hints') outgoing.writeEarlyHints({ link: '</style.css>; rel=preload' });
  if (path === '/early') return void outgoing.writeHead(413).end('too much');
  buffer(incoming).then(
    (bytes) => outgoing.end(JSON.stringify(described(incoming, bytes))),
    () => outgoing.destroy(),
  );
}

interface Described {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly trailers: Readonly<Record<string, string>>;
  readonly bytes: number;
  readonly digest: string;
}

function described(incoming: IncomingMessage, bytes: Buffer): unknown {
  const { method, url, headers, trailers } = incoming;
  return { method, url, headers, trailers, bytes: bytes.length, digest: digestOf(bytes) };
}

function streamed(outgoing: ServerResponse): void {
  outgoing.writeHead(200, { trailer: 'x-sum' });
  outgoing.write('one ');
  outgoing.write('two ');
  outgoing.addTrailers({ 'x-sum': '12', 'x-other': '3' });
  outgoing.end('three');
}

function onExpect(incoming: IncomingMessage, outgoing: ServerResponse): void {
  if (incoming.url === '/refuse') return void outgoing.writeHead(401).end();
  outgoing.writeContinue();
  answer(incoming, outgoing);
}

function onUpgrade(socket: Socket, head: Buffer): void {
  socket.write(
    'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
  );
  socket.write(`early ${head.toString('latin1')};`);
  socket.on('data', (bytes) => socket.write(`[${bytes.toString('latin1')}]`));
  socket.on('end', () => socket.end('bye'));
}

/** Sends every frame back without its mask (RFC 6455 section 5.2); they are short, and come as a whole. */
function onWebSocket(socket: Socket, key: string): void {
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`);
  socket.write(
    'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
      `Sec-WebSocket-Accept: ${accept.digest('base64')}\r\n\r\n`,
  );
  let received = Buffer.alloc(0);
  socket.on('data', (bytes: Buffer) => {
    received = Buffer.concat([received, bytes]);
    const length = (received[1] ?? 0) & 0x7f;
    if (received.length < 6 + length) return;
    const mask = received.subarray(2, 6);
    const payload = received.subarray(6, 6 + length).map((byte, i) => byte ^ (mask[i % 4] ?? 0));
    socket.write(Buffer.concat([Buffer.from([received[0] ?? 0, length]), payload]));
    // Behind a closing frame the server closes.
    if (received[0] === 0x88) socket.end();
    received = received.subarray(6 + length);
  });
  socket.on('end', () => socket.end());
}

function digestOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function ask(path: string, options: RequestOptions = {}): ClientRequest {
  const { port } = proxy.address() as AddressInfo;
  return request({ host: '127.0.0.1', port, path, agent, ...options });
}

async function responseTo(asked: ClientRequest): Promise<IncomingMessage> {
  const [incoming] = (await once(asked, 'response')) as [IncomingMessage];
  return incoming;
}

async function get(path: string): Promise<{ incoming: IncomingMessage; body: string }> {
  const incoming = await responseTo(ask(path).end());
  return { incoming, body: await text(incoming) };
}

/** Sends bytes as they are, and gives everything that comes back until the proxy closes. */
async function raw(...pieces: string[]): Promise<string> {
  const { port } = proxy.address() as AddressInfo;
  const socket = connect(port, '127.0.0.1');
  clients.add(socket);
  for (const piece of pieces) socket.write(piece, 'latin1');
  return (await buffer(socket)).toString('latin1');
}

for (const [variant, options] of [
  ['in place', WHOLE],
  ['in pieces of 7 bytes', { ...WHOLE, pieceBytes: 7 }],
  ['as lists of HTTP/2', { ...WHOLE, asLists: true }],
  ['handed over behind every piece', { ...WHOLE, pieceBytes: 1000, handsOver: true }],
] as const) {
  describe(`Http1Server and Http1Client between node:http, ${variant}`, () => {
    beforeEach(() => start(options));
    afterEach(stop);

    it('keep connections open on both sides, and pass on heads and bodies', async () => {
      for (let i = 0; i < 3; i++) {
        const { incoming, body } = await get(`/one?i=${i}`);
        const seen = JSON.parse(body) as Described;
        expect([seen.method, seen.url]).to.deep.equal(['GET', `/one?i=${i}`]);
        expect(seen.headers['x-via']).to.equal('ambit');
        expect(incoming.headers['x-back']).to.equal('ambit');
        expect(incoming.statusMessage).to.equal('OK');
      }
      expect((await get('/big')).body).to.equal(BODY.toString());
      expect(record).to.deep.equal({ faults: [], upstreamConnections: 1 });
    });

    it('pass on a body with a length, and one in chunks', async () => {
      for (const headers of [{ 'content-length': BODY.length }, {}]) {
        const asked = ask('/', { method: 'POST', headers });
        for (let at = 0; at < BODY.length; at += 50_000)
          asked.write(BODY.subarray(at, at + 50_000));
        asked.end();
        const seen = JSON.parse(await text(await responseTo(asked))) as Described;
        expect([seen.bytes, seen.digest]).to.deep.equal([BODY.length, digestOf(BODY)]);
      }
      expect(record).to.deep.equal({ faults: [], upstreamConnections: 1 });
    });

    it('pass on trailers both ways', async () => {
      const asked = ask('/', { method: 'POST', headers: { trailer: 'x-check' } });
      asked.write('content');
      asked.addTrailers({ 'x-check': 'abc' });
      asked.end();
      const seen = JSON.parse(await text(await responseTo(asked))) as Described;
      expect(seen.trailers).to.deep.equal({ 'x-check': 'abc' });
      const { incoming, body } = await get('/streamed');
      expect(body).to.equal('one two three');
      expect(incoming.trailers).to.deep.equal({ 'x-sum': '12', 'x-other': '3' });
    });

    it('let a client wait for 100, and refuse it', async () => {
      const headers = { expect: '100-continue', 'content-length': 5 };
      const asked = ask('/', { method: 'POST', headers });
      asked.flushHeaders();
      await once(asked, 'continue');
      asked.end('hello');
      expect(JSON.parse(await text(await responseTo(asked)))).to.have.property('bytes', 5);
      const refused = ask('/refuse', { method: 'POST', headers });
      refused.flushHeaders();
      expect((await responseTo(refused)).statusCode).to.equal(401);
      refused.destroy();
    });

    it('pass on early hints', async () => {
      const asked = ask('/hints').end();
      const hints = once(asked, 'information') as Promise<[{ statusCode: number }]>;
      const incoming = await responseTo(asked);
      expect((await hints)[0].statusCode).to.equal(103);
      expect(incoming.statusCode).to.equal(200);
    });

    it('know responses that have no body', async () => {
      const head = await responseTo(ask('/big', { method: 'HEAD' }).end());
      expect(head.headers['content-length']).to.equal(String(BODY.length));
      expect(await text(head)).to.equal('');
      for (const [path, status] of [
        ['/empty', 204],
        ['/same', 304],
      ] as const) {
        const { incoming, body } = await get(path);
        expect([incoming.statusCode, body]).to.deep.equal([status, '']);
      }
      expect((await get('/')).incoming.statusCode).to.equal(200);
      expect(record).to.deep.equal({ faults: [], upstreamConnections: 1 });
    });

    it('dial again when the server has closed, without the client noticing', async () => {
      for (let i = 0; i < 2; i++) {
        const { incoming } = await get('/close');
        expect([incoming.statusCode, incoming.headers.connection]).to.deep.equal([200, undefined]);
      }
      expect(record).to.deep.equal({ faults: [], upstreamConnections: 2 });
    });

    it('answer requests that were sent ahead in their order', async () => {
      const post = 'POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody';
      const chunked =
        'POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n';
      const last = 'GET /4 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
      const answers = await raw(`GET /1 HTTP/1.1\r\nHost: a\r\n\r\n${post}${chunked}${last}`);
      expect(answers.match(/"url":"\/\d"/g)).to.deep.equal(
        [1, 2, 3, 4].map((number) => `"url":"/${number}"`),
      );
      expect(answers.match(/HTTP\/1.1 200 OK/g)).to.have.length(4);
    });

    it('answer a client of HTTP/1.0 without chunks, and end the connection', async () => {
      const answered = await raw('GET /streamed HTTP/1.0\r\n\r\n');
      expect(answered).to.match(
        /^HTTP\/1.1 200 OK\r\n.*connection: close.*\r\n\r\none two three$/s,
      );
      expect(answered).not.to.contain('chunked');
    });

    it('pass on another protocol both ways, from its first byte to both ends', async () => {
      const { port } = proxy.address() as AddressInfo;
      const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
      clients.add(socket);
      const heads =
        'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';
      socket.write(heads);
      const answers: Buffer[] = [];
      socket.on('data', (bytes: Buffer) => answers.push(bytes));
      const seen = (): string => Buffer.concat(answers).toString('latin1');
      while (!seen().includes('early ;')) await once(socket, 'data');
      socket.write('\0\r\nping');
      // Each piece that comes through is put in brackets.
      const echoed = (): string => (seen().split('early ;')[1] ?? '').replaceAll(/[[\]]/g, '');
      while (echoed().length < 7) await once(socket, 'data');
      expect(echoed()).to.equal('\0\r\nping');
      socket.end();
      await once(socket, 'end');
      expect(seen().endsWith('bye')).to.equal(true);
      expect(seen()).to.match(/^HTTP\/1.1 101 Switching Protocols\r\n.*upgrade: websocket\r\n/s);
    });

    it('upgrade a client of node:http', async () => {
      const asked = ask('/', { headers: { connection: 'Upgrade', upgrade: 'websocket' } });
      asked.end();
      const [, socket, head] = (await once(asked, 'upgrade')) as [unknown, Socket, Buffer];
      clients.add(socket);
      let seen = head.toString();
      while (!seen.includes('early ;')) seen += String((await once(socket, 'data'))[0]);
    });

    it('carry WebSocket', async () => {
      const { port } = proxy.address() as AddressInfo;
      const socket = new WebSocket(`ws://127.0.0.1:${port}/socket`);
      await once(socket, 'open');
      const answered = once(socket, 'message') as Promise<[MessageEvent]>;
      socket.send('a message');
      expect((await answered)[0].data).to.equal('a message');
      const closed = once(socket, 'close');
      socket.close();
      await closed;
    });

    it('never let a request through behind another one', async () => {
      const hidden = 'GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n';
      for (const [fields, body] of [
        ['Content-Length: 4\r\nTransfer-Encoding: chunked\r\n', `0\r\n\r\n${hidden}`],
        ['Transfer-Encoding: xchunked\r\nContent-Length: 4\r\n', hidden],
        ['Content-Length: 0\r\nContent-Length: 39\r\n', hidden],
        ['Transfer-Encoding : chunked\r\n', `0\r\n\r\n${hidden}`],
        ['X: y\nTransfer-Encoding: chunked\r\n', `0\r\n\r\n${hidden}`],
        ['Transfer-Encoding: chunked\r\n', `3\nabc\n0\n\n${hidden}`],
        ['Transfer-Encoding: chunked\r\n', `1;\n${hidden}`],
      ] as const) {
        const answers = await raw(`POST /seen HTTP/1.1\r\nHost: a\r\n${fields}\r\n${body}`);
        expect(answers, fields).to.match(/^HTTP\/1.1 400 Bad Request\r\n/);
        expect(answers.match(/HTTP\/1.1/g), fields).to.have.length(1);
        expect(answers).not.to.contain('hidden');
      }
      expect(record.faults).to.deep.equal([
        'lengthAndTransferEncoding',
        'unsupportedTransferEncoding',
        'severalContentLengths',
        'whitespaceBeforeColon',
        'bareLineFeed',
        'bareLineFeed',
        'bareLineFeed',
      ]);
    });
  });
}
