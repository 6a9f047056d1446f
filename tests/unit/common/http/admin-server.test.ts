import { execFile } from 'node:child_process';
import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { connect, createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';

import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { AdminRoute, AdminServer } from '#common/http/admin-server.ts';
import { acceptsGzip, openAdminServer } from '#common/http/admin-server.ts';

const long = 'line\n'.repeat(1_000);

function open(
  extra: ReadonlyArray<readonly [string, AdminRoute]> = [],
  onError: (path: string, error: unknown) => void = () => {},
  hosts: readonly string[] = ['127.0.0.1'],
): Promise<AdminServer> {
  const routes = new Map<string, AdminRoute>([
    ['/long', { methods: ['GET'], handle: () => ({ status: 200, body: long }) }],
    [
      '/echo',
      {
        methods: ['POST'],
        handle: ({ method, query }) => ({ status: 200, body: `${method} ${query.get('a')}` }),
      },
    ],
    ['/any', { methods: 'any', handle: () => ({ status: 200, body: 'any' }) }],
    ...extra,
  ]);
  const portSetting = 'STATS_PORT';
  return openAdminServer({
    name: 'metrics',
    hosts,
    port: 0,
    portSetting,
    routes,
    onError,
  });
}

const pieces = (): AdminRoute => ({
  methods: ['GET'],
  handle: () => ({
    status: 200,
    body: (async function* () {
      for (const line of long.split(/(?<=\n)/)) yield line;
    })(),
  }),
});

async function* failing(): AsyncGenerator<string> {
  yield 'begun\n'.repeat(100_000);
  throw new Error('no more numbers');
}

const tellLocal: AdminRoute['handle'] = ({ local }) => ({ status: 200, body: String(local) });

function urlOf(server: AdminServer, path: string): string {
  return `http://127.0.0.1:${server.ports[0]}${path}`;
}

async function curl(...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)('curl', ['-sS', '--max-time', '5', ...args]);
  return stdout;
}

describe('openAdminServer()', () => {
  it('answers GET, and HEAD without a body', async () => {
    await using server = await open();
    expect(await curl(urlOf(server, '/long'))).to.equal(long);
    const head = await curl('-I', urlOf(server, '/long'));
    expect(head).to.match(/^HTTP\/1.1 200 OK\r\n/);
    expect(head).to.match(new RegExp(`content-length: ${long.length}`, 'i'));
  });

  it('tells whether a request comes from this machine', async () => {
    await using server = await open([['/local', { methods: ['GET'], handle: tellLocal }]]);
    expect(await curl(urlOf(server, '/local'))).to.equal('true');
    const elsewhere = Object.values(networkInterfaces())
      .flat()
      .find((each) => each !== undefined && !each.internal && each.family === 'IPv4');
    // Without a network there is nobody else.
    if (elsewhere === undefined) return;
    await using reachable = await open([
      ['/local', { methods: ['GET'], handle: tellLocal }],
    ], () => {}, [elsewhere.address]);
    const url = `http://${elsewhere.address}:${reachable.ports[0]}/local`;
    expect(await curl(url)).to.equal('false');
  });

  it('passes the method and the query, and ignores a body', async () => {
    await using server = await open();
    const body = 'x'.repeat(100_000);
    expect(await curl('--data', body, urlOf(server, '/echo?a=b%20c'))).to.equal('POST b c');
    expect(await curl('-X', 'PUT', urlOf(server, '/any?x'))).to.equal('any');
  });

  it('answers 404 for other paths and 405, with what is allowed, for other methods', async () => {
    await using server = await open();
    expect((await fetch(urlOf(server, '/other'))).status).to.equal(404);
    expect((await fetch(urlOf(server, '/__proto__'))).status).to.equal(404);
    const response = await fetch(urlOf(server, '/echo'));
    expect(response.status).to.equal(405);
    expect(response.headers.get('allow')).to.equal('POST');
  });

  it('answers in pieces, compressed for those who accept it', async () => {
    await using server = await open([['/pieces', pieces()]]);
    const url = urlOf(server, '/pieces');
    expect(await curl(url)).to.equal(long);
    expect(await curl('-D-', '-o', '/dev/null', url)).to.match(/transfer-encoding: chunked/i);
    expect(await curl('--compressed', url)).to.equal(long);
    expect(await curl('-D-', '-o', '/dev/null', '--compressed', url)).to.match(
      /content-encoding: gzip/i,
    );
    expect(await curl('-I', url)).to.match(/^HTTP\/1.1 200 OK\r\n/);
  });

  it('makes no more pieces than the client takes', async () => {
    let made = 0;
    const stopped = Promise.withResolvers<void>();
    async function* endless(): AsyncGenerator<string> {
      try {
        for (;;) {
          made++;
          yield 'x'.repeat(100_000);
        }
      } finally {
        stopped.resolve();
      }
    }
    const problems: unknown[] = [];
    const route: AdminRoute = {
      methods: ['GET'],
      handle: () => ({ status: 200, body: endless() }),
    };
    await using server = await open([['/endless', route]], (_path, error) => problems.push(error));
    const socket = connect(server.ports[0] ?? 0, '127.0.0.1');
    socket.write('GET /endless HTTP/1.1\r\nhost: a\r\n\r\n');
    await once(socket, 'readable');
    socket.destroy();
    // It ends when the client goes, and that is nobody's fault.
    await stopped.promise;
    expect(made).to.be.below(1_000);
    expect(problems).to.deep.equal([]);
  });

  it('cuts an answer whose pieces fail, so that it does not look complete', async () => {
    const problems: string[] = [];
    const route: AdminRoute = {
      methods: ['GET'],
      handle: () => ({ status: 200, body: failing() }),
    };
    await using server = await open([['/failing', route]], (path, error) =>
      problems.push(`${path} ${String(error)}`),
    );
    // 18: the transfer ended with less than was announced.
    const failure = await curl(urlOf(server, '/failing')).catch(
      (error: { code: number }) => error.code,
    );
    expect(failure).to.be.oneOf([18, 56]);
    expect(problems).to.deep.equal(['/failing Error: no more numbers']);
  });

  it('compresses long answers for those who accept it', async () => {
    await using server = await open();
    const encoded = await curl(
      '-D-',
      '-o',
      '/dev/null',
      '-H',
      'Accept-Encoding: gzip',
      urlOf(server, '/long'),
    );
    expect(encoded).to.match(/content-encoding: gzip/i);
    expect(await curl('--compressed', urlOf(server, '/long'))).to.equal(long);
    expect(await curl('-D-', '-o', '/dev/null', urlOf(server, '/long'))).not.to.match(
      /content-encoding/i,
    );
  });

  it('answers 500 without the reason when a route throws, and reports it', async () => {
    const errors: unknown[] = [];
    const broken: AdminRoute = {
      methods: ['GET'],
      handle: () => {
        throw new Error('inner secret');
      },
    };
    await using server = await open([['/broken', broken]], (path, error) =>
      errors.push([path, error]),
    );
    const response = await fetch(urlOf(server, '/broken'));
    expect([response.status, await response.text()]).to.deep.equal([500, 'internal error\n']);
    expect(errors).to.have.length(1);
    expect(String(errors)).to.contain('/broken,Error: inner secret');
  });

  it('names the address and the remedy when the port is in use', async () => {
    const other = createServer();
    other.listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    const options = { name: 'metrics', port, portSetting: 'STATS_PORT', routes: new Map() };
    const result = await openAdminServer({
      ...options,
      hosts: ['127.0.0.1'],
      onError: () => {},
    }).catch((error: unknown) => error);
    expect(String(result)).to.equal(
      `Error: Cannot listen on 127.0.0.1:${port} for metrics: the port is in use. Stop what listens there, or set STATS_PORT`,
    );
    other.close();
    await once(other, 'close');
  });

  it('leaves nothing open when the second address fails', async () => {
    const other = createServer();
    other.listen(0, '127.0.0.2');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    const options = { name: 'metrics', port, portSetting: 'STATS_PORT', routes: new Map() };
    const hosts = ['127.0.0.1', '127.0.0.2'];
    const result = await openAdminServer({ ...options, hosts, onError: () => {} }).catch(
      (error: unknown) => error,
    );
    expect(String(result)).to.contain(`127.0.0.2:${port}`);
    const socket = connect(port, '127.0.0.1');
    const [error] = (await once(socket, 'error').catch((e: unknown) => [e])) as [Error];
    expect(error).to.have.property('code', 'ECONNREFUSED');
    other.close();
    await once(other, 'close');
  });

  it('cuts a client that does not finish its headers after 2 s', async () => {
    await using server = await open();
    const socket = connect(server.ports[0]!, '127.0.0.1');
    const startMs = performance.now();
    socket.write('GET /long HTTP/1.1\r\nHost: x\r\n');
    expect(await text(socket)).to.match(/^HTTP\/1.1 408/);
    expect(performance.now() - startMs).to.be.at.least(1_900);
  });

  it('answers 431 to headers of more than 8 KiB', async () => {
    await using server = await open();
    const socket = connect(server.ports[0]!, '127.0.0.1');
    socket.write(`GET /long HTTP/1.1\r\nHost: x\r\nx: ${'y'.repeat(9_000)}\r\n\r\n`);
    expect(await text(socket)).to.match(/^HTTP\/1.1 431/);
  });

  it('takes 64 connections at once; the oldest makes place for the next', async () => {
    await using server = await open();
    const opened: Socket[] = [];
    for (let count = 0; count < 64; count++) {
      const socket = connect(server.ports[0]!, '127.0.0.1');
      opened.push(socket);
      await once(socket, 'connect');
    }
    opened[0]!.write('GET /any HTTP/1.1\r\nHost: x\r\n\r\n');
    await once(opened[0]!, 'data');
    const closed = once(opened[0]!, 'close');
    // Nobody who holds connections keeps a probe from being answered.
    expect(await curl(urlOf(server, '/any'))).to.equal('any');
    await closed;
    opened[1]!.write('GET /any HTTP/1.1\r\nHost: x\r\n\r\n');
    await once(opened[1]!, 'data');
    for (const socket of opened) socket.destroy();
  });

  it('close() ends a connection that is kept open', async () => {
    const server = await open();
    const socket = connect(server.ports[0]!, '127.0.0.1');
    socket.write('GET /any HTTP/1.1\r\nHost: x\r\n\r\n');
    await once(socket, 'data');
    const closed = once(socket, 'close');
    await server.close();
    await closed;
  });
});

describe('acceptsGzip()', () => {
  const cases: ReadonlyArray<readonly [string | undefined, boolean]> = [
    ['gzip', true],
    ['br, GZIP;q=0.5', true],
    ['*', true],
    ['gzip;q=0', false],
    ['*, gzip;q=0', false],
    ['identity', false],
    ['', false],
    [undefined, false],
  ];
  for (const [header, want] of cases) {
    it(`is ${want} for ${header ?? 'no header'}`, () => expect(acceptsGzip(header)).to.equal(want));
  }
});
