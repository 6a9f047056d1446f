import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Server as NetServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { promisify } from 'node:util';

import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';

import { type ProxyRecord, startProxy } from './http1-proxy.ts';

// curl and h2load as clients of a proxy of our codecs.

const run = promisify(execFile);
const BODY = Buffer.alloc(2_000_000, 'ambit ');

let backend: Server;
let proxy: NetServer;
let record: ProxyRecord;
let url: string;

async function start(): Promise<void> {
  record = { faults: [], upstreamConnections: 0 };
  backend = createServer((incoming, outgoing) => {
    buffer(incoming).then(
      (bytes) => answer(incoming, outgoing, bytes),
      () => outgoing.destroy(),
    );
  });
  await listen(backend);
  const { port } = backend.address() as AddressInfo;
  proxy = startProxy(port, { pieceBytes: 65_536, asLists: false, handsOver: false }, record);
  await listen(proxy);
  url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
}

/** Says what came in. */
function answer(incoming: IncomingMessage, outgoing: ServerResponse, bytes: Buffer): void {
  const { method, url: path, headers } = incoming;
  const framing = headers['transfer-encoding'] ?? headers['content-length'] ?? 'none';
  outgoing.writeHead(200, { 'x-seen': `${method} ${path} ${framing} ${bytes.length}` });
  outgoing.end(path === '/big' ? BODY : 'ok');
}

function stop(): void {
  proxy.close();
  backend.closeAllConnections();
  backend.close();
}

async function listen(server: NetServer): Promise<void> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
}

async function curl(...parameters: string[]): Promise<string> {
  const { stdout } = await run('curl', ['-sS', '--max-time', '60', ...parameters], {
    maxBuffer: 2 * BODY.length,
  });
  return stdout;
}

/** Runs curl with a file that holds the large body. */
async function withBody(work: (path: string) => Promise<void>): Promise<void> {
  const path = join(tmpdir(), `http1-curl-${process.pid}`);
  await writeFile(path, BODY);
  try {
    await work(path);
  } finally {
    await rm(path);
  }
}

describe('Http1Server and Http1Client for curl and h2load', () => {
  beforeEach(start);
  afterEach(stop);

  it('serve several requests on one connection', async () => {
    const format = ['-w', '%{http_code} %{num_connects};'];
    const many = [`${url}/1`, `${url}/2`, `${url}/3`].flatMap((one) => ['-o', '/dev/null', one]);
    expect(await curl(...format, ...many)).to.equal('200 1;200 0;200 0;');
    expect(record).to.deep.equal({ faults: [], upstreamConnections: 1 });
  });

  it('pass on large bodies both ways, with a length and with 100 (Continue), and in chunks', async () => {
    await withBody(async (path) => {
      const seen = ['-o', '/dev/null', '-w', '%header{x-seen}'];
      const expecting = ['-H', 'Expect: 100-continue', '--expect100-timeout', '60'];
      for (const [parameters, framing] of [
        [['--data-binary', `@${path}`, ...expecting], String(BODY.length)],
        [['-T', path, '-X', 'POST', '-H', 'Transfer-Encoding: chunked'], 'chunked'],
      ] as const)
        expect(await curl(...seen, ...parameters, `${url}/x`)).to.equal(
          `POST /x ${framing} ${BODY.length}`,
        );
    });
    expect(await curl(`${url}/big`)).to.equal(BODY.toString());
  });

  it('answer HTTP/1.0, HEAD, and requests as to a proxy', async () => {
    expect(await curl('--http1.0', '-i', `${url}/x`)).to.match(/^HTTP\/1.1 200 OK\r\n.*ok$/s);
    expect(await curl('-I', `${url}/x`)).to.match(/^HTTP\/1.1 200 OK\r\n.*x-seen: HEAD \/x/s);
    const proxied = await curl('-x', url, '-i', 'http://shop.example/cart?x=1');
    expect(proxied).to.match(/x-seen: GET \/cart\?x=1 none 0\r\n/);
    const options = await curl('-i', '-X', 'OPTIONS', '--request-target', '*', url);
    expect(options).to.match(/x-seen: OPTIONS \* none 0\r\n/);
  });

  it('refuse what curl can be made to send wrongly', async () => {
    for (const [parameters, status] of [
      [['-H', 'Host: a b'], '400'],
      [['-H', 'Host:'], '400'],
      [['-d', 'x', '-H', 'Content-Length: 1', '-H', 'Transfer-Encoding: gzip'], '400'],
      [['-H', 'Connection: authorization', '-H', 'Authorization: x'], '400'],
      [['-H', `X: ${'y'.repeat(70_000)}`], '431'],
      [['-d', 'x', '-H', 'Expect: everything'], '417'],
      [['--request-target', '/a#b'], '400'],
    ] as const)
      expect(
        await curl('-o', '/dev/null', '-w', '%{http_code}', ...parameters, `${url}/x`),
        parameters.join(' ').slice(0, 80),
      ).to.equal(status);
    expect(record.upstreamConnections).to.equal(0);
  });

  it('answer requests that h2load sends ahead on several connections', async () => {
    const load = ['--h1', '-n', '2000', '-c', '4', '-m', '8', `${url}/x`];
    const { stdout } = await run('h2load', load, { timeout: 60_000 });
    expect(stdout).to.match(/2000 succeeded, 0 failed, 0 errored/);
    expect(record).to.deep.equal({ faults: [], upstreamConnections: 4 });
  });
});
