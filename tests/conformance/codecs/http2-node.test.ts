import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
  constants,
  createServer as createHttp2Server,
  type Http2Server,
  type Http2Session,
  type ServerHttp2Stream,
  type Settings,
} from 'node:http2';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';

import { expect } from 'chai';
import { afterEach, describe, it } from 'mocha';

import type { Header } from '#codec/http2/field.ts';
import { ErrorCode } from '#codec/http2/frame.ts';
import type { Http2Options } from '#codec/http2/options.ts';
import { writeData } from '#tests/support/write-data.ts';

import { digestOf, SocketPeer } from './socket-peer.ts';

const CONNECT: readonly Header[] = [
  [':method', 'CONNECT'],
  [':authority', '10.0.0.1:80'],
];
const POST: readonly Header[] = [
  [':method', 'POST'],
  [':scheme', 'http'],
  [':path', '/'],
  [':authority', 'a.example'],
];
const OK: readonly Header[] = [[':status', '200']];

const LARGE = randomBytes(6_000_000);
const NODE_SETTINGS: Settings = { initialWindowSize: 300_000, maxFrameSize: 50_000 };

const closers: (() => void)[] = [];
function tearDown(): void {
  for (const close of closers.splice(0)) close();
}

/** Our server behind a socket, and a client of Node on it. */
async function ourServer(
  options: Http2Options = {},
  settings: Settings = NODE_SETTINGS,
): Promise<[server: SocketPeer, client: ClientHttp2Session]> {
  const listener: Server = createServer();
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const accepted = once(listener, 'connection');
  const client = connectHttp2(`http://127.0.0.1:${(listener.address() as AddressInfo).port}`, {
    settings,
  });
  const [socket] = await accepted;
  listener.close();
  closers.push(
    () => client.destroy(),
    () => socket.destroy(),
  );
  client.on('error', () => client.destroy());
  return [new SocketPeer('server', socket, options), client];
}

/** A server of Node, and our client on it. */
async function ourClient(
  onStream: (stream: ServerHttp2Stream, headers: Record<string, unknown>) => void,
  options: Http2Options = {},
): Promise<[client: SocketPeer, session: Http2Session]> {
  const server: Http2Server = createHttp2Server({ settings: NODE_SETTINGS });
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    stream.on('error', () => stream.destroy());
    onStream(stream, headers);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const started = once(server, 'session');
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const client = new SocketPeer('client', socket, options);
  const [session] = (await started) as [Http2Session];
  closers.push(
    () => session.destroy(),
    () => socket.destroy(),
    () => server.close(),
  );
  await client.until(() => client.connection.peerSettingsSeen);
  return [client, session];
}

function connectStream(client: ClientHttp2Session): ClientHttp2Stream {
  const stream = client.request({ ':method': 'CONNECT', ':authority': '10.0.0.1:80' });
  stream.on('error', () => stream.destroy());
  return stream;
}

function pinged(session: Http2Session): Promise<void> {
  return new Promise((resolve, reject) => {
    session.ping((error) => (error === null ? resolve() : reject(error)));
  });
}

async function readAll(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

describe('Http2Connection as a server for node:http2', () => {
  afterEach(tearDown);

  it('carries 6 MB both ways at once through each of several tunnels', async () => {
    const [server, client] = await ourServer();
    server.answer = (exchange) => {
      server.act((connection) => connection.sendHeaders(exchange.stream, OK, false));
      server.send(exchange, LARGE, true);
    };
    const streams = [1, 2, 3].map(() => connectStream(client));
    for (const stream of streams) stream.end(LARGE);
    const received = await Promise.all(streams.map(readAll));
    for (const bytes of received) expect(digestOf(bytes)).to.equal(digestOf(LARGE));
    await server.until(() => server.exchanges.every((exchange) => exchange.ended));
    for (const exchange of server.exchanges) expect(exchange.digest()).to.equal(digestOf(LARGE));
    expect(server.connection.streamCount).to.equal(0);
    expect(server.windowStalls).to.be.above(0);
  });

  it('echoes what comes in after the half-close of the client', async () => {
    const [server, client] = await ourServer();
    server.answer = ({ stream }) => server.connection.sendHeaders(stream, OK, false);
    server.ended = (exchange) => server.send(exchange, Buffer.from('late answer'), true);
    const stream = connectStream(client);
    stream.end('early question');
    expect((await readAll(stream)).toString()).to.equal('late answer');
    expect(server.exchanges[0]?.digest()).to.equal(digestOf(Buffer.from('early question')));
  });

  it('sends its end first and still receives', async () => {
    const [server, client] = await ourServer();
    server.answer = (exchange) => {
      server.connection.sendHeaders(exchange.stream, OK, false);
      server.send(exchange, Buffer.from('done'), true);
    };
    const stream = connectStream(client);
    expect((await readAll(stream)).toString()).to.equal('done');
    stream.end(LARGE);
    await server.until(() => server.exchanges[0]?.ended === true);
    expect(server.exchanges[0]?.digest()).to.equal(digestOf(LARGE));
  });

  it('holds the client back while nobody consumes, and lets it go on afterwards', async () => {
    const [server, client] = await ourServer({
      initialWindowSize: 100_000,
      connectionWindow: 150_000,
    });
    server.consumes = false;
    server.answer = ({ stream }) => server.connection.sendHeaders(stream, OK, false);
    const first = connectStream(client);
    const second = connectStream(client);
    first.write(LARGE.subarray(0, 500_000));
    second.write(LARGE.subarray(0, 500_000));
    const total = () => server.exchanges.reduce((sum, { received }) => sum + received, 0);
    await server.until(() => total() === 150_000);
    const answered = pinged(client);
    server.act((connection) => connection.ping(1));
    await server.until(() => server.pongs.length === 1);
    await answered;
    expect(total()).to.equal(150_000);
    server.consumes = true;
    for (const { stream } of server.exchanges)
      server.act((connection) => connection.consume(stream, stream.unconsumed));
    await server.until(() => total() === 1_000_000);
  });

  it('is reset by the client, and resets streams itself', async () => {
    const [server, client] = await ourServer();
    server.answer = ({ stream }) => server.connection.sendHeaders(stream, OK, false);
    const first = connectStream(client);
    await once(first, 'response');
    first.close(constants.NGHTTP2_CANCEL);
    await server.until(() => server.exchanges[0]?.resetCode === ErrorCode.cancel);
    const second = connectStream(client);
    await once(second, 'response');
    const closed = new Promise((resolve) => second.on('close', resolve));
    server.act((connection) =>
      connection.reset(server.exchanges[1]!.stream, ErrorCode.connectError),
    );
    await closed;
    expect(second.rstCode).to.equal(ErrorCode.connectError);
  });

  it('exchanges requests, interim answers and trailers', async () => {
    const [server, client] = await ourServer();
    server.ended = (exchange) => {
      server.act((connection) => {
        connection.sendHeaders(
          exchange.stream,
          [
            [':status', '103'],
            ['link', '</a>'],
          ],
          false,
        );
        connection.sendHeaders(exchange.stream, [...OK, ['x-body', exchange.digest()]], false);
        writeData({ connection, output: server }, exchange.stream, Buffer.from('body'), false);
        connection.sendHeaders(exchange.stream, [['grpc-status', '0']], true);
      });
    };
    const stream = client.request(
      { ':method': 'POST', ':path': '/x', 'content-length': '5' },
      { waitForTrailers: true },
    );
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': '1' }));
    const interim = once(stream, 'headers');
    const response = once(stream, 'response');
    const trailers = once(stream, 'trailers');
    stream.end('hello');
    expect((await interim)[0][':status']).to.equal(103);
    expect((await response)[0]['x-body']).to.equal(digestOf(Buffer.from('hello')));
    expect((await readAll(stream)).toString()).to.equal('body');
    expect((await trailers)[0]['grpc-status']).to.equal('0');
    expect(server.exchanges[0]?.header('x-sum')).to.equal('1');
  });

  it('says GOAWAY in two steps, and the client ends when its streams have', async () => {
    const [server, client] = await ourServer();
    server.answer = ({ stream }) => server.connection.sendHeaders(stream, OK, false);
    const stream = connectStream(client);
    await once(stream, 'response');
    const goaway = once(client, 'goaway');
    server.act((connection) => connection.drain());
    await goaway;
    server.act((connection) => connection.goaway(ErrorCode.noError));
    stream.end();
    await server.until(() => server.exchanges[0]?.ended === true);
    const closed = once(client, 'close');
    server.send(server.exchanges[0]!, Buffer.from('bye'), true);
    expect((await readAll(stream)).toString()).to.equal('bye');
    await closed;
  });

  for (const headerTableSize of [0, 100, 65_536])
    it(`agrees on header tables of ${headerTableSize} bytes, in both directions`, async () => {
      const [server, client] = await ourServer({ headerTableSize }, { headerTableSize });
      server.answer = ({ stream, headers }) => {
        const echoed = headers[0]?.filter(([name]) => name.startsWith('x-')) ?? [];
        server.connection.sendHeaders(stream, [...OK, ...echoed], true);
      };
      for (let i = 0; i < 60; i++) {
        const fields = { 'x-same': 'value', [`x-${i % 9}`]: `${i % 4}`, 'x-long': 'y'.repeat(i) };
        const stream = client.request({ ':path': '/', ...fields });
        const [response] = await once(stream, 'response');
        expect(response).to.include(fields);
        stream.resume();
      }
      expect(server.fault).to.equal(undefined);
    });

  it('obeys a client that changes its initial window while streams are open', async () => {
    const [server, client] = await ourServer({}, { initialWindowSize: 0 });
    server.answer = (exchange) => {
      server.connection.sendHeaders(exchange.stream, OK, false);
      server.send(exchange, LARGE.subarray(0, 1000), true);
    };
    const stream = connectStream(client);
    await once(stream, 'response');
    expect(server.exchanges[0]?.queue).to.have.length(1);
    client.settings({ initialWindowSize: 70_000 });
    expect(digestOf(await readAll(stream))).to.equal(digestOf(LARGE.subarray(0, 1000)));
  });
});

describe('Http2Connection as a client of node:http2', () => {
  afterEach(tearDown);

  it('carries 6 MB both ways at once through each of several tunnels', async () => {
    const received: Promise<Buffer>[] = [];
    const [client] = await ourClient((stream) => {
      stream.respond({ ':status': 200 });
      received.push(readAll(stream));
      stream.end(LARGE);
    });
    for (let i = 0; i < 3; i++) client.send(client.open(CONNECT, false), LARGE, true);
    await client.until(() => client.exchanges.every((exchange) => exchange.ended));
    for (const exchange of client.exchanges) expect(exchange.digest()).to.equal(digestOf(LARGE));
    for (const bytes of await Promise.all(received))
      expect(digestOf(bytes)).to.equal(digestOf(LARGE));
    await client.until(() => client.connection.streamCount === 0);
    expect(client.windowStalls).to.be.above(0);
  });

  it('uses its header table over many tunnels, one after the other', async () => {
    const seen: unknown[] = [];
    const [client] = await ourClient((stream, headers) => {
      seen.push(headers['baggage']);
      stream.respond({ ':status': 200, baggage: String(headers['baggage']) }, { endStream: true });
    });
    const wanted: string[] = [];
    for (let i = 0; i < 300; i++) {
      const baggage = `k8s.cluster.name=c${i % 7},x=${'y'.repeat(i)}`;
      wanted.push(baggage);
      const exchange = client.open(
        [...CONNECT, ['baggage', baggage], ['forwarded', `for=${i}`]],
        true,
      );
      await client.until(() => exchange.ended);
      expect(exchange.header('baggage')).to.equal(baggage);
    }
    expect(seen).to.deep.equal(wanted);
  });

  it('is refused with a status, and is reset', async () => {
    let refused = 0;
    const [client] = await ourClient((stream) => {
      if (refused++ === 0) stream.respond({ ':status': 503 }, { endStream: true });
      else stream.close(constants.NGHTTP2_CONNECT_ERROR);
    });
    const first = client.open(CONNECT, false);
    await client.until(() => first.ended);
    expect(first.header(':status')).to.equal('503');
    client.act((connection) => connection.reset(first.stream, ErrorCode.cancel));
    const second = client.open(CONNECT, false);
    await client.until(() => second.resetCode !== undefined);
    expect(second.resetCode).to.equal(ErrorCode.connectError);
    expect(client.connection.streamCount).to.equal(0);
  });

  it('sends a request with trailers and receives interim answers and trailers', async () => {
    const trailers: unknown[] = [];
    const [client] = await ourClient((stream) => {
      stream.on('trailers', (fields) => trailers.push(fields['x-sum']));
      stream.additionalHeaders({ ':status': 103 });
      stream.respond({ ':status': 200 }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.on('end', () => stream.end('answer'));
      stream.resume();
    });
    const exchange = client.open([...POST, ['content-length', '4']], false);
    client.send(exchange, Buffer.from('body'), false);
    client.act((connection) => connection.sendHeaders(exchange.stream, [['x-sum', '9']], true));
    await client.until(() => exchange.ended);
    expect(exchange.headers.map((fields) => fields[0])).to.deep.equal([
      [':status', '103'],
      [':status', '200'],
      ['grpc-status', '0'],
    ]);
    expect(exchange.digest()).to.equal(digestOf(Buffer.from('answer')));
    expect(trailers).to.deep.equal(['9']);
  });

  it('answers pings, pings itself, and hears of GOAWAY', async () => {
    const [client, session] = await ourClient((stream) => stream.respond({ ':status': 200 }));
    const answered = pinged(session);
    client.act((connection) => connection.ping(123_456_789_012_345));
    await client.until(() => client.pongs.length === 1);
    await answered;
    expect(client.pongs).to.deep.equal([123_456_789_012_345]);
    const exchange = client.open(CONNECT, false);
    await client.until(() => exchange.headers.length === 1);
    session.goaway(ErrorCode.noError, exchange.stream.id);
    await client.until(() => client.goaways.length === 1);
    expect(client.connection.canOpenStream()).to.equal(false);
    expect(client.connection.streamCount).to.equal(1);
  });

  it('holds the server back while nobody consumes, and lets it go on afterwards', async () => {
    const [client] = await ourClient(
      (stream) => {
        stream.respond({ ':status': 200 });
        stream.end(LARGE.subarray(0, 500_000));
      },
      { initialWindowSize: 100_000, connectionWindow: 150_000 },
    );
    client.consumes = false;
    const exchanges = [client.open(CONNECT, false), client.open(CONNECT, false)];
    const total = () => exchanges.reduce((sum, { received }) => sum + received, 0);
    await client.until(() => total() === 150_000);
    client.act((connection) => connection.ping(1));
    await client.until(() => client.pongs.length === 1);
    expect(total()).to.equal(150_000);
    client.consumes = true;
    for (const { stream } of exchanges)
      client.act((connection) => connection.consume(stream, stream.unconsumed));
    await client.until(() => exchanges.every((exchange) => exchange.ended));
    expect(total()).to.equal(1_000_000);
  });

  it('goes on when it is exported and restored between any two chunks', async () => {
    const [client] = await ourClient((stream) => {
      stream.respond({ ':status': 200 });
      stream.pipe(stream);
    });
    const exchange = client.open(CONNECT, false);
    client.handsOver = true;
    client.send(exchange, LARGE.subarray(0, 2_000_000), true);
    await client.until(() => exchange.ended);
    expect(exchange.digest()).to.equal(digestOf(LARGE.subarray(0, 2_000_000)));
    expect(client.handOvers).to.be.above(10);
  });
});
