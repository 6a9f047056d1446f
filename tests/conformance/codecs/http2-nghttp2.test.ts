import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';

import type { Http2Options } from '#codec/http2/options.ts';

import { digestOf, type Exchange, SocketPeer } from './socket-peer.ts';

// The tools of Debian's nghttp2-client, as clients of a server on our codec.

const run = promisify(execFile);
const BODY = Buffer.alloc(300_000, 'ambit ');

let listener: Server;
let url: string;
let peers: SocketPeer[] = [];
let options: Http2Options = {};
const sockets = new Set<Socket>();

async function setUp(): Promise<void> {
  peers = [];
  options = {};
  listener = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    const peer = new SocketPeer('server', socket, options);
    peer.ended = (exchange) => answer(peer, exchange);
    peers.push(peer);
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  url = `http://127.0.0.1:${(listener.address() as AddressInfo).port}`;
}

function tearDown(): void {
  for (const socket of sockets) socket.destroy();
  listener.close();
}

/** GET /length gives so many bytes; anything with content gives its digest. */
function answer(peer: SocketPeer, exchange: Exchange): void {
  const length = Number(exchange.header(':path')?.slice(1) ?? 0);
  const body = exchange.received > 0 ? Buffer.from(exchange.digest()) : BODY.subarray(0, length);
  peer.connection.sendHeaders(
    exchange.stream,
    [
      [':status', '200'],
      ['server', 'ambit'],
      ['content-length', String(body.length)],
      ['x-trailers', exchange.header('x-sum') ?? ''],
    ],
    body.length === 0,
  );
  if (body.length > 0) peer.send(exchange, body, true);
}

async function h2load(...parameters: string[]): Promise<string> {
  const { stdout } = await run('h2load', parameters, { timeout: 20_000 });
  return stdout;
}

describe('Http2Connection as a server for the nghttp2 tools', () => {
  beforeEach(setUp);
  afterEach(tearDown);

  it('answers h2load on several connections with many streams', async () => {
    const report = await h2load('-n', '3000', '-c', '3', '-m', '50', `${url}/100`);
    expect(report).to.match(/3000 succeeded, 0 failed, 0 errored/);
    expect(peers.map((peer) => peer.fault)).to.deep.equal([undefined, undefined, undefined]);
    expect(peers.map((peer) => peer.connection.streamCount)).to.deep.equal([0, 0, 0]);
  });

  it('tells curl that a head is too large', async () => {
    const file = join(tmpdir(), `ambit-head-${process.pid}`);
    // curl itself sends none of more than 64 KB.
    await writeFile(file, Array.from({ length: 150 }, (_, at) => `x-${at}: ${at}\n`).join(''));
    try {
      const told = ['-o', '/dev/null', '-w', '%{http_code}'];
      const big = ['-sS', '--http2-prior-knowledge', ...told, '-H', `@${file}`, `${url}/100`];
      const { stdout } = await run('curl', big, { timeout: 20_000 });
      expect(stdout).to.equal('431');
      expect(peers.map((peer) => peer.fault)).to.deep.equal([undefined]);
    } finally {
      await rm(file);
    }
  });

  it('obeys the windows of a client that has small ones', async () => {
    // 2^14 bytes per stream, 2^16 for the connection.
    const report = await h2load(
      '-n',
      '60',
      '-c',
      '2',
      '-m',
      '10',
      '-w',
      '14',
      '-W',
      '16',
      `${url}/300000`,
    );
    expect(report).to.match(/60 succeeded, 0 failed, 0 errored/);
    for (const peer of peers) expect(peer.windowStalls).to.be.above(0);
    expect(peers.map((peer) => peer.fault)).to.deep.equal([undefined, undefined]);
  });

  it('takes uploads through windows smaller than they are', async () => {
    options = { initialWindowSize: 20_000, connectionWindow: 70_000 };
    const file = join(tmpdir(), `ambit-upload-${process.pid}`);
    await writeFile(file, BODY);
    try {
      const report = await h2load('-n', '60', '-c', '2', '-m', '8', '-d', file, url);
      expect(report).to.match(/60 succeeded, 0 failed, 0 errored/);
    } finally {
      await rm(file);
    }
    const digests = peers.flatMap((peer) => peer.exchanges.map((exchange) => exchange.digest()));
    expect(new Set(digests)).to.deep.equal(new Set([digestOf(BODY)]));
    expect(digests).to.have.length(60);
  });

  it('lets nghttp see what we said: settings, headers, content, and its own trailers', async () => {
    const file = join(tmpdir(), `ambit-body-${process.pid}`);
    await writeFile(file, 'hello');
    let output: string;
    try {
      const parameters = ['-v', '--no-dep', '-d', file, '--trailer=x-sum: 7', `${url}/x`];
      output = (await run('nghttp', parameters, { timeout: 20_000 })).stdout;
    } finally {
      await rm(file);
    }
    expect(output).to.include('[SETTINGS_MAX_CONCURRENT_STREAMS(0x03):200]');
    expect(output).to.include('[SETTINGS_INITIAL_WINDOW_SIZE(0x04):4194304]');
    expect(output).to.include('[SETTINGS_MAX_FRAME_SIZE(0x05):1048576]');
    expect(output).to.include('[SETTINGS_MAX_HEADER_LIST_SIZE(0x06):65536]');
    expect(output).to.include('server: ambit');
    expect(output).to.include('x-trailers: 7');
    expect(output).to.include(digestOf(Buffer.from('hello')));
    expect(output).to.match(/send GOAWAY frame[^\n]*\n[^\n]*error_code=NO_ERROR/);
  });

  it('takes header blocks that come with CONTINUATION frames', async () => {
    await run('nghttp', ['--continuation', `${url}/3`], { timeout: 20_000 });
    const [first] = peers[0]?.exchanges ?? [];
    const filler = first?.headers.flat().filter(([name]) => name.startsWith('continuation-test'));
    const length = filler?.reduce((sum, [, value]) => sum + value.length, 0);
    // More than fits into one frame of the size that we start with.
    expect(length).to.be.above(16_384);
    expect(first?.stream.state).to.equal('closed');
  });
});
