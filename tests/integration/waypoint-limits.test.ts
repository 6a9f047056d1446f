import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTcpServer, type Socket } from 'node:net';

import { expect } from 'chai';
import { beforeEach, describe, it } from 'mocha';

import { answerTo, type Inner, type TestWaypoint } from '#tests/support/waypoint.ts';
import { useWaypoint } from '#tests/support/waypoint-bench.ts';
import type { PlaneLimits } from '#waypoint/worker/limits.ts';

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

const FIVE_MINUTES_MS = 300_000;
const HOUR_MS = 3_600_000;

const echo: Handler = (request, response) => void request.pipe(response);

describe('a waypoint', () => {
  const bench = useWaypoint();
  let waypoint: TestWaypoint;
  let app: Server;
  let endpoint: { readonly ip: string; readonly port: number };
  let handler: Handler;
  /** Requests that have reached the application. */
  let reached: string[];

  beforeEach(async () => {
    handler = echo;
    reached = [];
    app = createServer((request, response) => {
      reached.push(request.url ?? '');
      handler(request, response);
    });
    endpoint = await bench.listen(app);
    limited({});
  });

  /** A waypoint with other limits. */
  function limited(limits: Partial<PlaneLimits>): void {
    waypoint = bench.open(limits);
    waypoint.serve([endpoint]);
  }

  /** Nothing is left of what was in progress. */
  function expectNothingLeft(): void {
    expect(waypoint.left).to.deep.equal({ requests: 0, load: 0, waiting: 0 });
  }

  /** Comes by twice, the second time so much later. In whole milliseconds: a fraction may be lost in a sum. */
  function lookAfter(laterMs: number): void {
    const nowMs = Math.ceil(bench.loop.nowMs);
    waypoint.plane.look(nowMs);
    waypoint.plane.look(nowMs + laterMs);
  }

  /** What the log says of all requests: status, flag, details. */
  const told = (): readonly unknown[] =>
    waypoint.records.map(({ status, flag, details }) => [status, flag, details]);

  describe('with a limit for bodies', () => {
    const details = 'request_payload_too_large: more than 1000 bytes';

    beforeEach(() => limited({ requestBodyBytes: 1_000 }));

    it('takes one that is as large', async () => {
      const client = await waypoint.connect();
      const body = 'x'.repeat(1_000);
      expect(await client.ask('/', { method: 'POST', body })).to.include({ status: 200, body });
    });

    it('answers 413 to one that says that it is larger, which reaches nobody', async () => {
      const client = await waypoint.connect();
      const answer = await client.ask('/', { method: 'POST', body: 'x'.repeat(1_001) });
      expect(answer).to.include({
        status: 413,
        body: 'the body of the request is larger than 1000 bytes',
      });
      expect(reached).to.deep.equal([]);
      expect(told()).to.deep.equal([[413, '-', details]]);
      expectNothingLeft();
    });

    it('answers 413 to one that turns out to be larger before the answer', async () => {
      handler = () => undefined;
      const client = await waypoint.connect();
      const sent = client.request({ method: 'POST', path: '/' });
      sent.write('x'.repeat(900));
      await once(app, 'request');
      sent.write('x'.repeat(900));
      expect(await answerTo(sent)).to.include({ status: 413 });
      expect(told()).to.deep.equal([[413, '-', details]]);
      expectNothingLeft();
    });

    it('cuts one that turns out to be larger during the answer', async () => {
      handler = (_request, response) => void response.write('begun');
      const client = await waypoint.connect();
      const sent = client.request({ method: 'POST', path: '/' });
      sent.write('x'.repeat(900));
      const [response] = (await once(sent, 'response')) as [IncomingMessage];
      await once(response, 'data');
      const failed = once(response, 'error');
      sent.write('x'.repeat(900));
      expect((await failed)[0]).to.be.instanceOf(Error);
      expect(told()).to.deep.equal([[200, '-', details]]);
      expectNothingLeft();
    });
  });

  it('answers 503 UO when as many requests are in progress as may be, and serves again', async () => {
    limited({ requests: 1 });
    const held = Promise.withResolvers<ServerResponse>();
    handler = (_request, response) => held.resolve(response);
    const [one, other] = [await waypoint.connect(), await waypoint.connect()];
    const first = one.ask('/first');
    const response = await held.promise;
    expect(await other.ask('/second')).to.include({ status: 503 });
    response.end('late');
    expect(await first).to.include({ status: 200, body: 'late' });
    handler = echo;
    expect(await other.ask('/third')).to.include({ status: 200 });
    expect(reached).to.deep.equal(['/first', '/third']);
    expect(told()).to.deep.equal([
      [503, 'UO', 'as many requests are in progress as may be'],
      [200, '-', ''],
      [200, '-', ''],
    ]);
    expectNothingLeft();
  });

  it('has so many connections to an endpoint, lets so many requests wait, and refuses the next', async () => {
    limited({ connectionsPerEndpoint: 1, waitingPerEndpoint: 1 });
    const held = Promise.withResolvers<ServerResponse>();
    handler = (_request, response) => held.resolve(response);
    const clients = [];
    for (let each = 0; each < 3; each++) clients.push(await waypoint.connect());
    const [one, two, three] = clients as [Inner, Inner, Inner];
    const first = one.ask('/first');
    const response = await held.promise;
    const second = two.ask('/second');
    // It comes behind the other one: the waypoint has seen that, too.
    const deadline = Date.now() + 60_000;
    while (waypoint.plane.requests.taken < 2 && Date.now() < deadline) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    const refused = await three.ask('/third');
    expect(refused.status).to.equal(503);
    expect(refused.body).to.match(/overflow$/);
    handler = echo;
    response.end('first');
    expect(await first).to.include({ status: 200 });
    expect(await second).to.include({ status: 200 });
    expect(reached).to.deep.equal(['/first', '/second']);
    expect(waypoint.records[0]).to.include({ status: 503, flag: 'UO' });
    expectNothingLeft();
  });

  it('refuses a connection in a tunnel, and a tunnel, beyond so many', async () => {
    limited({ connections: 1, tunnelsPerPeer: 2 });
    await waypoint.connect();
    expect((await waypoint.connect()).status).to.equal(503);
    const third = await waypoint.connect().then(
      () => 'connected',
      () => 'refused',
    );
    expect(third).to.equal('refused');
    expect(waypoint.refusals).to.deep.equal([
      'no connection for it: the worker has 1 connections, as many as it may',
      'the address has 2 tunnels to this worker, as many as it may',
    ]);
  });

  it('cuts who reads too slowly when memory is full, and not who reads', async () => {
    limited({ waitingBytes: 400_000 });
    const body = Buffer.alloc(2_000_000, 'x');
    handler = (_request, response) => void response.end(body);
    const slow = [];
    for (let each = 0; each < 6; each++) {
      const client = await waypoint.connect();
      // It asks, and takes nothing: HTTP/2 keeps the rest at the waypoint.
      client.stream.pause();
      client.stream.write('GET /slow HTTP/1.1\r\nhost: shop\r\n\r\n');
      slow.push(client);
    }
    const reader = await waypoint.connect();
    const deadline = Date.now() + 60_000;
    while (!waypoint.records.some(({ flag }) => flag === 'UO') && Date.now() < deadline) {
      expect((await reader.ask('/read')).body.length).to.equal(body.length);
    }
    expect(waypoint.records.filter(({ flag }) => flag === 'UO')[0]).to.include({
      details: 'the client reads too slowly',
    });
    expect(waypoint.plane.waiting.bytes).to.be.at.most(2 * 400_000);
    for (const { stream } of slow) stream.destroy();
  });

  describe('looks at what does not move, and', () => {
    it('answers 504 for an application that says nothing for an hour, and lets it be for less', async () => {
      handler = () => undefined;
      const client = await waypoint.connect();
      const answer = client.ask('/');
      await once(app, 'request');
      lookAfter(HOUR_MS - 1_000);
      expect(waypoint.records).to.deep.equal([]);
      lookAfter(HOUR_MS);
      expect(await answer).to.include({ status: 504, body: 'stream timeout' });
      expect(told()).to.deep.equal([[504, 'SI', 'no byte has moved for 3600 s']]);
      expectNothingLeft();
    });

    it('lets a stream live for as long as something moves now and then', async () => {
      const response = Promise.withResolvers<ServerResponse>();
      handler = (_request, answer) => {
        answer.write('first');
        response.resolve(answer);
      };
      const client = await waypoint.connect();
      const sent = client.request({ path: '/' });
      sent.end();
      const [message] = (await once(sent, 'response')) as [IncomingMessage];
      await once(message, 'data');
      for (let hours = 1; hours <= 3; hours++) {
        waypoint.plane.look(bench.loop.nowMs + hours * (HOUR_MS - 1_000));
        (await response.promise).write('more');
        await once(message, 'data');
      }
      expect(waypoint.records).to.deep.equal([]);
      (await response.promise).end();
      await once(message, 'end');
    });

    it('answers 408 to a body of known length of which nothing comes for 5 minutes', async () => {
      const client = await waypoint.connect();
      const headers = { 'content-length': '100' };
      const sent = client.request({ method: 'POST', path: '/', headers });
      handler = () => undefined;
      sent.write('some');
      await once(app, 'request');
      lookAfter(FIVE_MINUTES_MS);
      expect(await answerTo(sent)).to.include({ status: 408 });
      expect(told()).to.deep.equal([[408, 'SI', 'no byte has moved for 300 s']]);
      expectNothingLeft();
    });

    it('cuts a client that takes nothing of its answer for 5 minutes', async () => {
      handler = (_request, response) => void response.end(Buffer.alloc(10_000_000));
      const client = await waypoint.connect();
      client.stream.pause();
      client.stream.write('GET / HTTP/1.1\r\nhost: shop\r\n\r\n');
      const deadline = Date.now() + 60_000;
      while (waypoint.plane.waiting.bytes === 0 && Date.now() < deadline) {
        await new Promise((resolve) => setImmediate(resolve));
      }
      lookAfter(FIVE_MINUTES_MS);
      expect(told()).to.deep.equal([[200, 'SI', 'no byte has moved for 300 s']]);
      expectNothingLeft();
    });

    it('closes a connection that begins a head, or only its first bytes, and does not go on', async () => {
      for (const beginning of ['GE', 'GET / HTTP/1.1\r\nhos']) {
        const client = await waypoint.connect();
        client.stream.write(beginning);
        const deadline = Date.now() + 60_000;
        while (waypoint.plane.inner.size === 0 && Date.now() < deadline) {
          await new Promise((resolve) => setImmediate(resolve));
        }
        // The answer to a ping comes after the bytes were taken.
        await new Promise((resolve) => client.stream.session?.ping(resolve));
        const closed = once(client.stream, 'close');
        lookAfter(60_000);
        await closed;
        expect(waypoint.plane.inner.size).to.equal(0);
      }
    });

    it('ends idle connections of a client before its certificate does', async () => {
      const client = await waypoint.connect(undefined, { notAfterMs: Date.now() + 60_000 });
      expect(await client.ask('/one')).to.include({ status: 200 });
      waypoint.plane.look(bench.loop.nowMs + 30_000);
      expect(waypoint.plane.inner.size).to.equal(1);
      waypoint.plane.look(bench.loop.nowMs + 50_000);
      expect(waypoint.plane.inner.size).to.equal(0);
    });
  });

  describe('that carries bytes', () => {
    let peer: Socket | undefined;

    it('cuts a connection that new policies forbid', async () => {
      const server = createTcpServer((socket) => {
        peer = socket;
        socket.on('error', () => undefined);
        socket.pipe(socket);
      });
      const tcp = await bench.listen(server, '127.0.0.3');
      waypoint.serve([tcp], { protocols: new Map([[80, 'TCP']]) });
      const client = await waypoint.connect();
      client.stream.write('hello');
      expect(String((await once(client.stream, 'data'))[0])).to.equal('hello');

      waypoint.plane.judgeAgain();
      client.stream.write('again');
      expect(String((await once(client.stream, 'data'))[0])).to.equal('again');

      waypoint.judge = () => 'no rule allows it';
      const closed = once(client.stream, 'close');
      waypoint.plane.judgeAgain();
      await closed;
      expect(waypoint.tcp.map(({ flag, details }) => [flag, details])).to.deep.equal([
        ['UAEX', 'no rule allows it'],
      ]);
      expectNothingLeft();
      peer?.destroy();
    });
  });
});
