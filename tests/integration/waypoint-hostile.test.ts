import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';

import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';

import type { Header } from '#codec/http2/field.ts';
import {
  END_HEADERS,
  END_STREAM,
  FrameType,
  frame,
  number32,
  RawHttp2,
} from '#tests/support/raw-http2.ts';
import type { Inner, TestWaypoint } from '#tests/support/waypoint.ts';
import { useWaypoint } from '#tests/support/waypoint-bench.ts';

const WAIT_MS = 60_000;
const FIVE_MINUTES_MS = 300_000;

/** What a request must never bring along. */
const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nhost: shop\r\n\r\n';

/** Heads that are refused before anybody looks at what they ask for: name, bytes, fault, status. */
const HEADS: readonly (readonly [string, string, string, number?])[] = [
  [
    'a length beside chunks',
    'POST / HTTP/1.1\r\nhost: shop\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
    'lengthAndTransferEncoding',
  ],
  [
    'chunks beside a length',
    'POST / HTTP/1.1\r\nhost: shop\r\ntransfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n',
    'lengthAndTransferEncoding',
  ],
  [
    'two lengths',
    'POST / HTTP/1.1\r\nhost: shop\r\ncontent-length: 0\r\ncontent-length: 40\r\n\r\n',
    'severalContentLengths',
  ],
  [
    'two equal lengths in one line',
    'POST / HTTP/1.1\r\nhost: shop\r\ncontent-length: 0, 0\r\n\r\n',
    'invalidContentLength',
  ],
  [
    'a length with a sign',
    'POST / HTTP/1.1\r\nhost: shop\r\ncontent-length: +0\r\n\r\n',
    'invalidContentLength',
  ],
  [
    'a hexadecimal length',
    'POST / HTTP/1.1\r\nhost: shop\r\ncontent-length: 0x0\r\n\r\n',
    'invalidContentLength',
  ],
  [
    'an encoding that is nearly chunked',
    'POST / HTTP/1.1\r\nhost: shop\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n',
    'unsupportedTransferEncoding',
  ],
  [
    'chunks in chunks',
    'POST / HTTP/1.1\r\nhost: shop\r\ntransfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n',
    'unsupportedTransferEncoding',
  ],
  [
    'chunks that are not last',
    'POST / HTTP/1.1\r\nhost: shop\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n',
    'unsupportedTransferEncoding',
  ],
  [
    'two encodings',
    'POST / HTTP/1.1\r\nhost: shop\r\ntransfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n',
    'severalTransferEncodings',
  ],
  [
    'an encoding with a vertical tab',
    'POST / HTTP/1.1\r\nhost: shop\r\ntransfer-encoding: \u000bchunked\r\n\r\n0\r\n\r\n',
    'invalidFieldValue',
  ],
  [
    'an encoding behind a blank',
    'POST / HTTP/1.1\r\nhost: shop\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n',
    'whitespaceBeforeColon',
  ],
  [
    'an encoding on a folded line',
    'POST / HTTP/1.1\r\nhost: shop\r\nx-a: b\r\n transfer-encoding: chunked\r\n\r\n0\r\n\r\n',
    'obsoleteFold',
  ],
  [
    'an encoding in HTTP/1.0',
    'POST / HTTP/1.0\r\nhost: shop\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
    'transferEncodingInHttp10',
  ],
  [
    'a line that ends with LF alone',
    'GET / HTTP/1.1\r\nhost: shop\nx-a: b\r\n\r\n',
    'bareLineFeed',
  ],
  ['a head that ends with LF alone', 'GET / HTTP/1.1\r\nhost: shop\r\n\n', 'bareLineFeed'],
  ['a lone CR', 'GET / HTTP/1.1\r\nhost: shop\rx-a: b\r\n\r\n', 'bareCarriageReturn'],
  ['a NUL in a value', 'GET / HTTP/1.1\r\nhost: shop\r\nx-a: b\u0000c\r\n\r\n', 'nulByte'],
  ['a NUL in a name', 'GET / HTTP/1.1\r\nhost: shop\r\nx\u0000a: b\r\n\r\n', 'nulByte'],
  ['a name that is empty', 'GET / HTTP/1.1\r\nhost: shop\r\n: b\r\n\r\n', 'invalidFieldName'],
  ['a name in brackets', 'GET / HTTP/1.1\r\nhost: shop\r\nx[a]: b\r\n\r\n', 'invalidFieldName'],
  ['no host', 'GET / HTTP/1.1\r\nx-a: b\r\n\r\n', 'missingHost'],
  ['two hosts', 'GET / HTTP/1.1\r\nhost: shop\r\nhost: shop\r\n\r\n', 'severalHosts'],
  ['a host with a user', 'GET / HTTP/1.1\r\nhost: ann@shop\r\n\r\n', 'invalidHost'],
  ['another host in the target', 'GET http://bank/ HTTP/1.1\r\nhost: shop\r\n\r\n', 'hostMismatch'],
  ['a blank in the target', 'GET /a b HTTP/1.1\r\nhost: shop\r\n\r\n', 'malformedRequestLine'],
  ['no version', 'GET /\r\nhost: shop\r\n\r\n', 'malformedRequestLine'],
  ['a method that is none', 'G{}T / HTTP/1.1\r\nhost: shop\r\n\r\n', 'invalidMethod'],
  [
    'a version that is none of ours',
    'GET / HTTP/3.0\r\nhost: shop\r\n\r\n',
    'unsupportedVersion',
    505,
  ],
  [
    'an expectation that is none of ours',
    'GET / HTTP/1.1\r\nhost: shop\r\nexpect: 200-ok\r\n\r\n',
    'unsupportedExpectation',
    417,
  ],
  [
    'a nominated host',
    'GET / HTTP/1.1\r\nhost: shop\r\nconnection: host\r\n\r\n',
    'protectedFieldNominated',
  ],
  [
    'a nominated length',
    'POST / HTTP/1.1\r\nhost: shop\r\ncontent-length: 0\r\nconnection: content-length\r\n\r\n',
    'protectedFieldNominated',
  ],
  [
    '200 fields',
    `GET / HTTP/1.1\r\nhost: shop\r\n${'x-a: b\r\n'.repeat(200)}\r\n`,
    'tooManyFields',
    431,
  ],
  [
    'a field of 70,000 bytes',
    `GET / HTTP/1.1\r\nhost: shop\r\nx-a: ${'b'.repeat(70_000)}\r\n\r\n`,
    'headTooLarge',
    431,
  ],
  [
    'a target of 70,000 bytes',
    `GET /${'b'.repeat(70_000)} HTTP/1.1\r\nhost: shop\r\n\r\n`,
    'headTooLarge',
    431,
  ],
];

const CHUNKED = 'POST /body HTTP/1.1\r\nhost: shop\r\ntransfer-encoding: chunked\r\n\r\n';

/** Bodies that break a rule after the head has gone on: their request never comes to its end. */
const BODIES: readonly (readonly [string, string, string])[] = [
  ['a size that is no number', 'g\r\n', 'invalidChunkSize'],
  ['a negative size', '-1\r\n', 'invalidChunkSize'],
  ['a size with a prefix', '0x1\r\na\r\n0\r\n\r\n', 'invalidChunkSize'],
  ['a size behind a blank', ' 1\r\na\r\n0\r\n\r\n', 'invalidChunkSize'],
  ['a size before a blank', '1 \r\na\r\n0\r\n\r\n', 'invalidChunkSize'],
  ['a size beyond every number', 'ffffffffffffffffff\r\n', 'chunkTooLarge'],
  ['a size that ends with LF', '1\na\r\n0\r\n\r\n', 'bareLineFeed'],
  ['data that is longer than its size', '1\r\nab\r\n0\r\n\r\n', 'invalidChunkEnd'],
  ['endless extensions of one chunk', `1;${'a'.repeat(10_000)}`, 'chunkExtensionsTooLarge'],
  ['extensions of many chunks', '1;a=b\r\nx\r\n'.repeat(2_000), 'chunkExtensionsTooLarge'],
  ['an extension with a NUL', '1;a\u0000\r\nx\r\n', 'invalidChunkExtension'],
  ['a length in the trailers', '0\r\ncontent-length: 5\r\n\r\n', 'forbiddenTrailer'],
  ['a host in the trailers', '0\r\nhost: bank\r\n\r\n', 'forbiddenTrailer'],
  ['trailers of 10,000 bytes', `0\r\nx-a: ${'b'.repeat(10_000)}\r\n\r\n`, 'trailersTooLarge'],
];

const GET: readonly Header[] = [
  [':method', 'GET'],
  [':scheme', 'http'],
  [':authority', 'shop'],
  [':path', '/'],
];
const POST: readonly Header[] = [[':method', 'POST'], ...GET.slice(1)];
const without = (name: string): readonly Header[] => GET.filter(([one]) => one !== name);

/** Header lists that are no request (RFC 9113 section 8). */
const LISTS: readonly (readonly [string, readonly Header[]])[] = [
  ['an upper-case name', [...GET, ['X-A', 'b']]],
  ['a name with a colon', [...GET, ['x:a', 'b']]],
  ['a line break in a value', [...GET, ['x-a', 'b\r\nhost: bank']]],
  ['a NUL in a value', [...GET, ['x-a', 'b\u0000']]],
  ['a line break in the path', [...without(':path'), [':path', '/ HTTP/1.1\r\nhost: bank']]],
  ['a blank in the method', [[':method', 'GET /a'], ...GET.slice(1)]],
  ['a pseudo header behind a field', [...GET.slice(0, 3), ['x-a', 'b'], [':path', '/']]],
  ['two paths', [...GET, [':path', '/other']]],
  ['two authorities', [...GET, [':authority', 'bank']]],
  ['a pseudo header that there is not', [...GET, [':status', '200']]],
  ['no method', without(':method')],
  ['no path', without(':path')],
  ['an empty path', [...without(':path'), [':path', '']]],
  ['connection', [...GET, ['connection', 'close']]],
  ['transfer-encoding', [...GET, ['transfer-encoding', 'chunked']]],
  ['upgrade', [...GET, ['upgrade', 'websocket']]],
  ['te that is not trailers', [...GET, ['te', 'gzip']]],
  ['a host that is not the authority', [...GET, ['host', 'bank']]],
  ['two lengths', [...POST, ['content-length', '0'], ['content-length', '5']]],
  ['a length that is no number', [...POST, ['content-length', '+0']]],
];

/** Sends bytes, and gives what comes back when the waypoint has ended the connection. */
async function answered(client: Inner, bytes: string): Promise<string> {
  client.stream.write(bytes, 'latin1');
  const chunks: Buffer[] = [];
  client.stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(client.stream, 'end').catch(() => undefined);
  return Buffer.concat(chunks).toString('latin1');
}

describe('a waypoint with a hostile client', function () {
  this.timeout(2 * WAIT_MS);
  // Before the bench ends the waypoint.
  afterEach(expectWell);
  const bench = useWaypoint();
  let waypoint: TestWaypoint;
  let app: Server;
  let handler: (request: IncomingMessage, response: ServerResponse) => void;
  /** Requests of which the application has seen the head, and those of which it has seen the end. */
  let reached: string[];
  let completed: string[];

  beforeEach(async () => {
    reached = [];
    completed = [];
    handler = (_request, response) => void response.end('served');
    app = createServer((request, response) => {
      reached.push(request.url ?? '');
      request.on('end', () => completed.push(request.url ?? ''));
      request.on('error', () => undefined);
      request.resume();
      handler(request, response);
    });
    waypoint = bench.open();
    // What is not declared, and does not look like HTTP, is not looked into.
    waypoint.serve([await bench.listen(app)], { protocols: new Map([[80, 'HTTP/1.1']]) });
  });

  /** HTTP/2 by hand, inside of a tunnel. */
  async function http2(settings?: Buffer): Promise<RawHttp2> {
    const client = await waypoint.connect();
    return new RawHttp2(client.stream, settings);
  }

  async function until(holds: () => boolean): Promise<void> {
    const deadlineMs = Date.now() + WAIT_MS;
    while (!holds() && Date.now() < deadlineMs) {
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** It serves others, and nothing is left of what was in progress. */
  async function expectWell(): Promise<void> {
    handler = (_request, response) => void response.end('served');
    const client = await waypoint.connect();
    expect(await client.ask('/well')).to.include({ status: 200, body: 'served' });
    client.stream.destroy();
    await until(() => Object.values(waypoint.left).every((each) => each === 0));
    expect(waypoint.left).to.deep.equal({ requests: 0, load: 0, waiting: 0 });
    expect(bench.loop.faults).to.equal(0);
  }

  describe('that smuggles', () => {
    for (const [name, bytes, fault, status = 400] of HEADS) {
      it(`is answered ${status} for ${name}, and nothing of it goes on`, async () => {
        const client = await waypoint.connect();
        const answer = await answered(client, bytes + SMUGGLED);
        expect(answer).to.match(new RegExp(`^HTTP/1\\.1 ${status} `));
        expect(answer.match(/HTTP\/1\.1/g)).to.have.lengthOf(1);
        expect(waypoint.faults).to.deep.equal([fault]);
        expect(reached).to.deep.equal([]);
      });
    }

    for (const [name, body, fault] of BODIES) {
      it(`is cut off for a body with ${name}`, async () => {
        handler = (request, response) => void request.on('end', () => response.end('complete'));
        const client = await waypoint.connect();
        const answer = await answered(client, CHUNKED + body + SMUGGLED);
        expect(answer).not.to.match(/^HTTP\/1\.1 2/);
        expect(waypoint.faults).to.deep.equal([fault]);
        expect(completed).to.deep.equal([]);
        expect(reached).not.to.include('/smuggled');
      });
    }
  });

  describe('that leaves', () => {
    const REQUEST = 'POST /left HTTP/1.1\r\nhost: shop\r\ncontent-length: 5\r\n\r\n12345';

    it('after any byte of a request, with a reset or an end, leaves nothing behind', async () => {
      handler = (request, response) => void request.on('end', () => response.end('x'.repeat(999)));
      for (let length = 1; length <= REQUEST.length; length += 3) {
        for (const way of ['destroy', 'end'] as const) {
          const client = await waypoint.connect();
          client.stream.resume();
          client.stream.write(REQUEST.slice(0, length));
          client.stream[way]();
        }
      }
      await until(() => waypoint.plane.inner.size === 0);
      expect(waypoint.plane.inner.size).to.equal(0);
    });

    it('in the middle of an answer, leaves nothing behind', async () => {
      handler = (_request, response) => void response.write('begun');
      const clients = [];
      for (let each = 0; each < 20; each++) {
        const client = await waypoint.connect();
        client.stream.write('GET / HTTP/1.1\r\nhost: shop\r\n\r\n');
        await once(client.stream, 'data');
        clients.push(client);
      }
      for (const { stream } of clients) stream.destroy();
      await until(() => waypoint.records.length === 20);
      expect(waypoint.records.every(({ flag }) => flag === 'DC')).to.equal(true);
    });

    it('with its whole tunnel, leaves nothing behind', async () => {
      handler = () => undefined;
      const client = await waypoint.connect();
      client.stream.write('GET / HTTP/1.1\r\nhost: shop\r\n\r\n');
      await once(app, 'request');
      client.stream.session?.destroy();
      await until(() => waypoint.plane.tunnelCount === 0);
      expect(waypoint.records.map(({ flag }) => flag)).to.deep.equal(['DC']);
    });
  });

  it('that sends 500 requests ahead gets all of its answers, in order', async () => {
    handler = (request, response) => void response.end(`${request.url} `);
    const client = await waypoint.connect();
    const names = Array.from({ length: 500 }, (_, index) => `/${index}`);
    const requests = names.map((name, index) => {
      const last = index === names.length - 1 ? 'connection: close\r\n' : '';
      return `GET ${name} HTTP/1.1\r\nhost: shop\r\n${last}\r\n`;
    });
    const answer = await answered(client, requests.join(''));
    expect(answer.match(/^\/[0-9]+ /gm)?.map((one) => one.trim())).to.deep.equal(names);
  });

  describe('of HTTP/2', () => {
    for (const [name, fields] of LISTS) {
      it(`that sends ${name} is reset, and nothing of it goes on`, async () => {
        const client = await http2();
        client.write(client.headers(1, fields, END_HEADERS | END_STREAM));
        await client.ping();
        const refused = [...client.of(FrameType.resetStream), ...client.of(FrameType.goaway)];
        const answers = client.of(FrameType.headers);
        expect(refused.length + answers.length).to.equal(1);
        expect(reached).to.deep.equal([]);
      });
    }

    /** Floods that cost the connection; each would go on for long. */
    const floods: readonly (readonly [string, (client: RawHttp2, index: number) => Buffer])[] = [
      [
        'opens and resets streams',
        (client, index) =>
          Buffer.concat([
            client.headers(2 * index + 1, GET, END_HEADERS | END_STREAM),
            frame(FrameType.resetStream, 0, 2 * index + 1, number32(8)),
          ]),
      ],
      [
        'makes the server reset streams by their length',
        (client, index) =>
          Buffer.concat([
            client.headers(2 * index + 1, [...POST, ['content-length', '1']], END_HEADERS),
            frame(FrameType.data, END_STREAM, 2 * index + 1, 'too long'),
          ]),
      ],
      [
        'makes the server reset streams by a window',
        (client, index) =>
          Buffer.concat([
            client.headers(2 * index + 1, POST, END_HEADERS),
            frame(FrameType.windowUpdate, 0, 2 * index + 1, number32(0)),
          ]),
      ],
      [
        'sends requests that are none',
        (client, index) =>
          client.headers(2 * index + 1, without(':path'), END_HEADERS | END_STREAM),
      ],
      ['changes its settings', () => frame(FrameType.settings, 0, 0)],
      ['asks for signs of life', () => frame(FrameType.ping, 0, 0, Buffer.alloc(8))],
      [
        'sends data without a byte',
        (client, index) =>
          index === 0 ? client.headers(1, POST, END_HEADERS) : frame(FrameType.data, 0, 1),
      ],
      [
        'sends priorities',
        (_client, index) => frame(FrameType.priority, 0, 2 * index + 1, Buffer.alloc(5)),
      ],
      ['sends frames that nobody knows', () => frame(0x77, 0, 0, 'x')],
      ['opens its window byte by byte', () => frame(FrameType.windowUpdate, 0, 0, number32(1))],
      [
        'never ends a head',
        (client, index) =>
          index === 0
            ? client.headers(1, GET, END_STREAM)
            : frame(FrameType.continuation, 0, 1, Buffer.alloc(1_000)),
      ],
      [
        'never ends a head, in empty pieces',
        (client, index) =>
          index === 0 ? client.headers(1, GET, END_STREAM) : frame(FrameType.continuation, 0, 1),
      ],
    ];
    for (const [does, make] of floods) {
      it(`that ${does} again and again loses its connection`, async () => {
        handler = (request, response) => void request.on('end', () => response.end());
        const client = await http2();
        await client.flood(100_000, (index) => make(client, index));
        await client.until(() => client.isOver);
        const [goaway] = client.of(FrameType.goaway).slice(-1);
        // ENHANCE_YOUR_CALM (RFC 9113 section 7).
        expect(goaway?.payload.readUInt32BE(4)).to.equal(11);
        expect(waypoint.faults.at(-1)).to.match(/^HTTP\/2 error 11: /);
      });
    }

    it('that overflows a window loses its connection', async () => {
      const client = await http2();
      client.send(FrameType.windowUpdate, 0, 0, number32(0x7fff_ffff));
      await client.until(() => client.isOver);
      expect(client.of(FrameType.goaway)[0]?.payload.readUInt32BE(4)).to.equal(3);
    });

    it('that sends a list of 90,000 bytes is answered 431, and nothing of it goes on', async () => {
      const client = await http2();
      const crumbs = Array.from({ length: 100 }, (): Header => ['cookie', 'c'.repeat(900)]);
      const block = client.block([...GET, ...crumbs]);
      client.send(FrameType.headers, END_STREAM, 1, block.subarray(0, 16_000));
      for (let at = 16_000; at < block.length; at += 16_000) {
        const flags = at + 16_000 >= block.length ? END_HEADERS : 0;
        client.send(FrameType.continuation, flags, 1, block.subarray(at, at + 16_000));
      }
      await client.until(() => client.of(FrameType.headers).length > 0 || client.isOver);
      // Its text is not coded.
      const answers = client.of(FrameType.headers).map(({ payload }) => payload.toString('latin1'));
      expect(answers).to.have.lengthOf(1);
      expect(answers[0]).to.include('431');
      expect(reached).to.deep.equal([]);
    });

    it('that asks much and takes nothing holds bounded memory, and is cut in time', async () => {
      handler = (_request, response) => void response.end(Buffer.alloc(1_000_000));
      // SETTINGS_INITIAL_WINDOW_SIZE of 0.
      const client = await http2(Buffer.from([0, 4, 0, 0, 0, 0]));
      for (let index = 0; index < 100; index++) {
        client.write(client.headers(2 * index + 1, GET, END_HEADERS | END_STREAM));
      }
      await client.until(() => client.of(FrameType.headers).length === 100);
      const { plane } = waypoint;
      await client.ping();
      expect(plane.waiting.bytes).to.be.within(1, 100 * 400_000);
      expect(plane.waiting.bytes).to.be.at.most(plane.limits.waitingBytes);
      plane.look(bench.loop.nowMs);
      plane.look(bench.loop.nowMs + FIVE_MINUTES_MS);
      await client.ping();
      expect(client.of(FrameType.resetStream)).to.have.lengthOf(100);
      expect(waypoint.records.every(({ flag }) => flag === 'SI')).to.equal(true);
    });

    it('that has more streams open than it may is refused the rest, and keeps its connection', async () => {
      handler = () => undefined;
      const client = await http2();
      for (let index = 0; index < 1_010; index++) {
        client.write(client.headers(2 * index + 1, GET, END_HEADERS | END_STREAM));
      }
      await client.ping();
      expect(client.of(FrameType.resetStream)).to.have.lengthOf(10);
      expect(client.isOver).to.equal(false);
      client.send(FrameType.goaway, 0, 0, Buffer.alloc(8));
      for (let index = 0; index < 1_000; index++) {
        client.send(FrameType.resetStream, 0, 2 * index + 1, number32(8));
      }
      await until(() => waypoint.plane.requests.taken === 0);
    });
  });
});
