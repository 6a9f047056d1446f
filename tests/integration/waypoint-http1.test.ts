import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { text } from 'node:stream/consumers';

import { expect } from 'chai';
import { beforeEach, describe, it } from 'mocha';

import { forwardTo, type TestWaypoint } from '#tests/support/waypoint.ts';
import { useWaypoint } from '#tests/support/waypoint-bench.ts';

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** What the application answers, with what it has seen. */
const echo: Handler = (request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    response.setHeader('x-saw', `${request.method} ${request.url}`);
    response.end(Buffer.concat(chunks));
  });
};

describe('HTTP/1.1 through a waypoint', () => {
  const bench = useWaypoint();
  let waypoint: TestWaypoint;
  let app: Server;
  let handler: Handler;

  beforeEach(async () => {
    handler = echo;
    app = createServer((request, response) => handler(request, response));
    waypoint = bench.open();
    waypoint.serve([await bench.listen(app)]);
  });

  it('gets an answer, and another one on the same connection', async () => {
    const client = await waypoint.connect();
    expect(client.status).to.equal(200);
    const first = await client.ask('/one?a=1');
    expect(first).to.include({ status: 200, body: '' });
    expect(first.headers).to.include({ 'x-saw': 'GET /one?a=1' });
    const second = await client.ask('/two', { method: 'POST', body: 'some words' });
    expect(second).to.include({ status: 200, body: 'some words' });
    expect(waypoint.records.map(({ status, flag }) => [status, flag])).to.deep.equal([
      [200, '-'],
      [200, '-'],
    ]);
  });

  it('carries large bodies both ways, chunked ones too', async () => {
    const body = Buffer.alloc(5_000_000, 'large ');
    const client = await waypoint.connect();
    const answer = await client.ask('/', {
      method: 'POST',
      body,
      headers: { 'transfer-encoding': 'chunked' },
    });
    expect(answer.status).to.equal(200);
    expect(answer.body.length).to.equal(body.length);
    expect(answer.body === body.toString()).to.equal(true);
  });

  it('is answered for each request when several come at once, and then the end', async () => {
    const client = await waypoint.connect();
    const asked = ['/one', '/two', '/three'].map(
      (path) => `GET ${path} HTTP/1.1\r\nhost: shop\r\n\r\n`,
    );
    const answers = await client.exchange(asked.join(''));
    const saw = [...answers.matchAll(/^x-saw: (.*)\r$/gm)].map(([, what]) => what);
    expect(saw).to.deep.equal(['GET /one', 'GET /two', 'GET /three']);
  });

  it('waits until the client has taken the answer before', async () => {
    const seen: (string | undefined)[] = [];
    const large = 'x'.repeat(100_000);
    handler = (request, response) => {
      seen.push(request.url);
      response.end(large);
    };
    const client = await waypoint.connect();
    const get = 'GET / HTTP/1.1\r\nhost: shop\r\n\r\n';
    client.stream.write(get.repeat(20));
    // Another client is served meanwhile: time enough for whatever would be done too early.
    const other = await waypoint.connect();
    for (let round = 0; round < 5; round++) await other.ask('/other');
    expect(seen.filter((path) => path === '/')).to.have.length(1);
    const answers = await client.exchange('');
    expect(answers.match(/HTTP\/1\.1 200 /g)).to.have.length(20);
    expect(seen.filter((path) => path === '/')).to.have.length(20);
  });

  it('leaves the connection to the server as it was, also when the client took its answer slowly', async () => {
    handler = (_request, response) => response.end('x'.repeat(200_000));
    // Each would keep a part of the window for ever.
    for (let round = 0; round < 6; round++) {
      const slow = await waypoint.connect();
      const ended = Promise.withResolvers<unknown>();
      waypoint.tell.finished = ended.resolve;
      slow.stream.write('GET / HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n');
      await ended.promise;
      expect((await text(slow.stream)).length).to.be.above(200_000);
    }
    const sockets = await new Promise((resolve) => app.getConnections((_e, n) => resolve(n)));
    expect(sockets).to.equal(1);
  });

  it('is not made twice when it takes too long, unless its rule says so', async () => {
    let made = 0;
    handler = () => void made++;
    const retry = { attempts: 2, codes: [], timeouts: true, backoffMs: 1 };
    for (const [rule, attempts] of [
      [{}, 1],
      [{ retry }, 3],
    ] as const) {
      made = 0;
      waypoint.decide = (facts) => forwardTo(facts, { attemptTimeoutMs: 100, ...rule });
      const client = await waypoint.connect();
      const answer = await client.ask('/', { method: 'POST', body: 'pay' });
      expect([answer.status, made]).to.deep.equal([504, attempts]);
    }
  });

  it('is given up when the client ends its side and is told nothing for a while', async () => {
    const gone = Promise.withResolvers<void>();
    handler = (_request, response) => void response.once('close', gone.resolve);
    const client = await waypoint.connect();
    client.stream.end('GET / HTTP/1.1\r\nhost: shop\r\n\r\n');
    const broken = once(client.stream, 'close');
    await gone.promise;
    await broken;
    expect(waypoint.records.map(({ status, flag }) => [status, flag])).to.deep.equal([[0, 'DC']]);
    expect(waypoint.records[0]?.details).to.equal('the client has gone');
  });

  it('is answered although the client has ended its side', async () => {
    handler = (request, response) => {
      response.write('first');
      request.once('close', () => setTimeout(() => response.end(' and last'), 100));
      request.resume();
    };
    const client = await waypoint.connect();
    const heard = await client.exchange('GET / HTTP/1.1\r\nhost: shop\r\n\r\n');
    expect(heard).to.match(/first\r\n.* and last\r\n/s);
    expect(waypoint.records[0]).to.include({ status: 200, flag: '-' });
  });

  describe('that becomes another protocol', () => {
    const upgrade =
      'GET /socket HTTP/1.1\r\nhost: shop\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n';
    const accepted = 'HTTP/1.1 101 OK\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n';

    beforeEach(() => {
      app.on('upgrade', (_request, socket: Socket, first: Buffer) => {
        socket.write(accepted);
        // Also what came with the request.
        socket.write(first);
        socket.pipe(socket);
      });
    });

    it('carries everything that the client says, also before it is answered, until its end', async () => {
      const client = await waypoint.connect();
      const heard = await client.exchange(`${upgrade}at once`);
      expect(heard).to.match(/^HTTP\/1\.1 101 /);
      expect(heard.slice(heard.indexOf('\r\n\r\n') + 4)).to.equal('at once');
      expect(waypoint.records.map(({ status, flag }) => [status, flag])).to.deep.equal([
        [101, '-'],
      ]);
      expect(waypoint.records[0]).to.include({ requestBytes: 7, responseBytes: 7 });
    });

    it('may last longer than its route lets a request', async () => {
      waypoint.decide = (facts) => forwardTo(facts, { timeoutMs: 200 });
      handler = () => undefined;
      const client = await waypoint.connect();
      client.stream.write(upgrade);
      await once(client.stream, 'readable');
      // It began later, and its time is over.
      const late = await waypoint.connect();
      expect((await late.ask('/')).status).to.equal(504);
      const heard = await client.exchange('still here');
      expect(heard.endsWith('still here')).to.equal(true);
    });

    it('carries what is said later, in large pieces', async () => {
      const client = await waypoint.connect();
      client.stream.write(upgrade);
      await once(client.stream, 'readable');
      const piece = 'and so on '.repeat(100_000);
      const heard = await client.exchange(piece);
      expect(heard.length).to.be.above(piece.length);
      expect(heard.endsWith(piece)).to.equal(true);
    });

    it('goes on for the client when the server has ended its side', async () => {
      const got = Promise.withResolvers<string>();
      app.removeAllListeners('upgrade');
      app.on('upgrade', (_request, socket: Socket) => {
        socket.end(`${accepted}that is all`);
        text(socket).then(got.resolve, got.reject);
      });
      const client = await waypoint.connect();
      client.stream.write(upgrade);
      const heard = await text(client.stream);
      expect(heard.endsWith('that is all')).to.equal(true);
      expect(waypoint.records).to.deep.equal([]);
      client.stream.end('thank you');
      expect(await got.promise).to.equal('thank you');
      expect(waypoint.records[0]).to.include({ status: 101, flag: '-', requestBytes: 9 });
    });
  });

  it('is answered 503 when nobody serves', async () => {
    waypoint.serve([]);
    const client = await waypoint.connect();
    const answer = await client.ask('/');
    expect(answer.status).to.equal(503);
    expect(answer.body).to.equal('no healthy upstream');
    expect(waypoint.records[0]).to.include({ flag: 'UH', status: 503 });
  });

  it('is answered 400 when it is not HTTP', async () => {
    const client = await waypoint.connect();
    const answer = await client.exchange('GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n');
    expect(answer).to.match(/^HTTP\/1\.1 400 /);
    expect(waypoint.faults).to.deep.equal(['severalHosts']);
  });

  it('is refused for an address that is not bound to the waypoint', async () => {
    const client = await waypoint.connect('10.96.0.99:80');
    expect(client.status).to.equal(404);
    expect(waypoint.refusals).to.deep.equal(['10.96.0.99:80 is not bound to this waypoint']);
  });
});
