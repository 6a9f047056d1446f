import { once } from 'node:events';
import { createServer as createHttp1Server } from 'node:http';
import {
  connect,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';

import { expect } from 'chai';
import { beforeEach, describe, it } from 'mocha';

import type { Inner, TestWaypoint } from '#tests/support/waypoint.ts';
import { useWaypoint } from '#tests/support/waypoint-bench.ts';

type Handler = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void;

const echo: Handler = (stream, headers) => {
  stream.respond(
    { ':status': 200, 'x-saw': `${headers[':method']} ${headers[':path']}` },
    { waitForTrailers: true },
  );
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
  stream.pipe(stream);
};

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly trailers: IncomingHttpHeaders | undefined;
  readonly body: string;
}

/** HTTP/2 with prior knowledge, on a connection inside a tunnel. */
class Http2Client {
  readonly #session;

  constructor(inner: Inner) {
    this.#session = connect('http://shop', { createConnection: () => inner.stream });
    this.#session.on('error', () => undefined);
  }

  async ask(headers: OutgoingHttpHeaders, body: string | Buffer = ''): Promise<Answer> {
    const stream = this.#session.request({ ':path': '/', ...headers }, { endStream: false });
    let trailers: IncomingHttpHeaders | undefined;
    stream.on('trailers', (given: IncomingHttpHeaders) => (trailers = given));
    // All of it may come at once: whoever listened only after the head would miss what follows.
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    const ended = once(stream, 'end');
    stream.end(body);
    const [answered] = (await once(stream, 'response')) as [IncomingHttpHeaders];
    await ended;
    const status = Number(answered[':status']);
    return { status, headers: answered, trailers, body: Buffer.concat(chunks).toString() };
  }
}

describe('HTTP/2 through a waypoint', () => {
  const bench = useWaypoint();
  let waypoint: TestWaypoint;
  let app: Http2Server;
  let handler: Handler;

  beforeEach(async () => {
    handler = echo;
    app = createServer();
    app.on('stream', (stream: ServerHttp2Stream, headers) => {
      stream.on('error', () => undefined);
      handler(stream, headers);
    });
    waypoint = bench.open();
    waypoint.serve([await bench.listen(app)], { protocols: new Map([[80, 'HTTP/2']]) });
  });

  it('carries requests side by side, with trailers', async () => {
    const client = new Http2Client(await waypoint.connect());
    const asked = Array.from({ length: 20 }, (_, index) =>
      client.ask({ ':method': 'POST', ':path': `/${index}` }, `words ${index}`),
    );
    const answers = await Promise.all(asked);
    for (const [index, answer] of answers.entries()) {
      expect(answer).to.include({ status: 200, body: `words ${index}` });
      expect(answer.headers).to.include({ 'x-saw': `POST /${index}` });
      expect(answer.trailers).to.include({ 'grpc-status': '0' });
    }
    expect(
      waypoint.records.every(({ flag, grpcStatus }) => flag === '-' && grpcStatus === '0'),
    ).to.equal(true);
  });

  it('carries large bodies both ways', async () => {
    const client = new Http2Client(await waypoint.connect());
    const body = Buffer.alloc(3_000_000, 'large ');
    const answer = await client.ask({ ':method': 'POST' }, body);
    expect(answer.body === body.toString()).to.equal(true);
  });

  it('speaks HTTP/1.1 to an application that knows nothing else', async () => {
    const old = createHttp1Server((request, response) => {
      response.setHeader('trailer', 'x-sum');
      response.write(`${request.method} ${request.url} ${request.headers.host}`);
      response.addTrailers({ 'x-sum': '7' });
      response.end();
    });
    waypoint.serve([await bench.listen(old)], { protocols: new Map([[80, 'HTTP/1.1']]) });
    const client = new Http2Client(await waypoint.connect());
    const answer = await client.ask({ ':method': 'GET', ':path': '/a?b', ':authority': 'shop' });
    expect(answer).to.include({ status: 200, body: 'GET /a?b shop' });
    expect(answer.trailers).to.include({ 'x-sum': '7' });
  });

  it('serves a client of HTTP/1.1', async () => {
    const client = await waypoint.connect();
    const answer = await client.ask('/path', { method: 'PUT', body: 'words' });
    expect(answer).to.include({ status: 200, body: 'words' });
    expect(answer.headers).to.include({ 'x-saw': 'PUT /path' });
    expect(answer.trailers).to.include({ 'grpc-status': '0' });
  });

  it('tells a gRPC client in its own words that nobody serves', async () => {
    waypoint.serve([], { protocols: new Map([[80, 'gRPC']]) });
    const client = new Http2Client(await waypoint.connect());
    const answer = await client.ask({ ':method': 'POST', 'content-type': 'application/grpc' });
    expect(answer).to.include({ status: 200, body: '' });
    expect(answer.headers).to.include({
      'grpc-status': '14',
      'grpc-message': 'no healthy upstream',
    });
  });

  it('passes on that the client has given up', async () => {
    const reset = Promise.withResolvers<number>();
    handler = (stream) => stream.on('close', () => reset.resolve(stream.rstCode));
    const inner = await waypoint.connect();
    const session = connect('http://shop', { createConnection: () => inner.stream });
    const stream = session.request({ ':method': 'POST' });
    stream.on('error', () => undefined);
    stream.write('begun');
    await once(app, 'stream');
    stream.close(8);
    expect(await reset.promise).to.equal(8);
    expect(waypoint.records.map(({ flag }) => flag)).to.deep.equal(['DC']);
  });
});
