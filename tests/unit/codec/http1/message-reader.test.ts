import { expect } from 'chai';
import { describe, it } from 'mocha';

import { Http1Client } from '#codec/http1/client.ts';
import { allocateHeadTables } from '#codec/http1/message-reader.ts';
import { Http1Server } from '#codec/http1/server.ts';

import { lines } from './heads.ts';
import { Recorder } from './recorder.ts';

const CHUNKED = lines('POST / HTTP/1.1', 'Host: a', 'Transfer-Encoding: chunked');

/** What a server says about one message, up to its end. */
function read(text: string, options: ConstructorParameters<typeof Http1Server>[0] = {}): unknown[] {
  const recorder = new Recorder();
  const server = new Http1Server(options, allocateHeadTables('request'), recorder);
  const bytes = Buffer.from(text, 'latin1');
  server.receive(bytes, 0, bytes.length);
  return recorder.brief();
}

/** What is said behind the head of a chunked body. */
function chunked(body: string, options?: ConstructorParameters<typeof Http1Server>[0]): unknown[] {
  return read(CHUNKED + body, options).slice(1);
}

describe('MessageReader', () => {
  it('ends a message without a body at once', () => {
    expect(read(lines('GET / HTTP/1.1', 'Host: a'))).to.deep.equal([
      ['request', 'GET', '/'],
      ['end', []],
    ]);
  });

  it('gives as many bytes as content-length says', () => {
    const head = lines('POST / HTTP/1.1', 'Host: a', 'Content-Length: 5');
    expect(read(`${head}hello and more`)).to.deep.equal([
      ['request', 'POST', '/'],
      ['body', 'hello'],
      ['end', []],
    ]);
    expect(read(`${head}hell`)).to.deep.equal([
      ['request', 'POST', '/'],
      ['body', 'hell'],
    ]);
  });

  it('takes the framing out of a chunked body', () => {
    expect(chunked('5\r\nhello\r\n6;a=b;c="d e"\r\n world\r\n0\r\n\r\n')).to.deep.equal([
      ['body', 'hello world'],
      ['end', []],
    ]);
    expect(chunked('0000A\r\n0123456789\r\n0;x\r\n\r\n')).to.deep.equal([
      ['body', '0123456789'],
      ['end', []],
    ]);
    expect(chunked('0\r\n\r\n')).to.deep.equal([['end', []]]);
  });

  it('gives trailers', () => {
    expect(chunked('1\r\nx\r\n0\r\nX-Sum: 1\r\ny:2\r\n\r\n')).to.deep.equal([
      ['body', 'x'],
      [
        'end',
        [
          ['x-sum', '1'],
          ['y', '2'],
        ],
      ],
    ]);
  });

  it('refuses framing of chunks that is not exactly right', () => {
    for (const [body, fault] of [
      ['\r\n', 'invalidChunkSize'],
      ['x\r\n', 'invalidChunkSize'],
      ['0x5\r\n', 'invalidChunkSize'],
      ['-1\r\n', 'invalidChunkSize'],
      ['+1\r\n', 'invalidChunkSize'],
      [' 5\r\n', 'invalidChunkSize'],
      ['5 \r\n', 'invalidChunkSize'],
      ['5 ;a\r\n', 'invalidChunkSize'],
      ['5\t\r\n', 'invalidChunkSize'],
      ['5,5\r\n', 'invalidChunkSize'],
      [';a=b\r\n', 'invalidChunkSize'],
      ['5\nhello\r\n', 'bareLineFeed'],
      ['5\rhello\r\n', 'bareCarriageReturn'],
      ['5;a\nb\r\n', 'bareLineFeed'],
      ['5;a\rb\r\n', 'bareCarriageReturn'],
      ['5;a\0\r\n', 'invalidChunkExtension'],
      ['80000000\r\n', 'chunkTooLarge'],
      ['ffffffffffffffff\r\n', 'chunkTooLarge'],
      ['10000000000000005\r\n', 'chunkTooLarge'],
      ['00000000000000005\r\n', 'chunkTooLarge'],
    ] as const)
      expect(chunked(body), JSON.stringify(body)).to.deep.equal([['fault', fault]]);
    for (const end of ['X\r\n', '\n', '\rX', '0\r\n\r\n', '\n\r'])
      expect(chunked(`5\r\nhello${end}`), JSON.stringify(end)).to.deep.equal([
        ['body', 'hello'],
        ['fault', 'invalidChunkEnd'],
      ]);
  });

  it('refuses broken, forbidden and too large trailers', () => {
    for (const [trailers, fault] of [
      ['Content-Length: 5\r\n\r\n', 'forbiddenTrailer'],
      ['a : b\r\n\r\n', 'whitespaceBeforeColon'],
      ['a: b\n\r\n', 'bareLineFeed'],
      ['\n', 'bareLineFeed'],
      [`a: ${'x'.repeat(100)}\r\n`, 'trailersTooLarge'],
    ] as const)
      expect(chunked(`0\r\n${trailers}`, { maxTrailerBytes: 64 }), trailers).to.deep.equal([
        ['fault', fault],
      ]);
  });

  it('counts the extensions of all chunks of a body, and begins anew with the next', () => {
    const options = { maxChunkExtensionBytes: 8 };
    expect(chunked('1;abc\r\nx\r\n0;abc\r\n\r\n', options).at(-1)).to.deep.equal(['end', []]);
    expect(chunked('1;abc\r\nx\r\n0;abcd\r\n\r\n', options).at(-1)).to.deep.equal([
      'fault',
      'chunkExtensionsTooLarge',
    ]);
  });

  it('takes a chunk of the largest size, and none above', () => {
    expect(chunked('A\r\n0123456789\r\n', { maxChunkBytes: 10 })).to.deep.equal([
      ['body', '0123456789'],
    ]);
    expect(chunked('B\r\n', { maxChunkBytes: 10 })).to.deep.equal([['fault', 'chunkTooLarge']]);
  });

  it('takes a head of the largest size, and none above', () => {
    const text = lines('GET / HTTP/1.1', 'Host: a', `x: ${'y'.repeat(256 - 32)}`);
    expect(text.length).to.equal(256);
    for (const prefix of ['', '\r\n', '\r\n\r\n']) {
      expect(read(prefix + text, { maxHeadBytes: 256 })).to.have.length(2);
      expect(read(`${prefix}${text.slice(0, -4)}y\r\n\r\n`, { maxHeadBytes: 256 })).to.deep.equal([
        ['fault', 'headTooLarge'],
      ]);
    }
  });

  it('refuses a head that fills the largest size without an end', () => {
    const text = 'GET / HTTP/1.1\r\n'.padEnd(256, 'x: y\r\n');
    expect(read(text.slice(0, -1), { maxHeadBytes: 256 })).to.deep.equal([]);
    expect(read(text, { maxHeadBytes: 256 })).to.deep.equal([['fault', 'headTooLarge']]);
  });

  it('says nothing more when an event has stopped it', () => {
    for (const body of [
      'Content-Length: 2\r\n\r\nok',
      'Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
    ]) {
      const seen: string[] = [];
      const server: Http1Server = new Http1Server({}, allocateHeadTables('request'), {
        onHead: () => seen.push('head'),
        onBody: () => {
          seen.push('body');
          server.abort();
        },
        onEnd: () => seen.push('end'),
        onFault: () => seen.push('fault'),
      });
      const bytes = Buffer.from(`POST / HTTP/1.1\r\nHost: a\r\n${body}`);
      server.receive(bytes, 0, bytes.length);
      server.receiveEnd();
      expect(seen).to.deep.equal(['head', 'body']);
    }
  });

  it('refuses a head that does not end, whatever comes', () => {
    for (const text of ['x'.repeat(70_000), 'GET / HTTP/1.1\r\n'.padEnd(70_000, 'a: b\r\n')])
      expect(read(text)).to.have.nested.property('[0][0]', 'fault');
  });

  it('stops behind an event that pauses it, and goes on from there', () => {
    const recorder = new Recorder();
    const server = new Http1Server({}, allocateHeadTables('request'), recorder);
    const bytes = Buffer.from(`${CHUNKED}5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n`);
    recorder.afterwards = () => server.pause();
    const at = server.receive(bytes, 0, bytes.length);
    expect(at).to.equal(CHUNKED.length);
    expect(server.receive(bytes, at, bytes.length)).to.equal(at);
    expect(server.wantsInput).to.equal(false);
    server.resume();
    expect(server.receive(bytes, at, bytes.length)).to.equal(bytes.length);
    expect(recorder.brief()).to.deep.equal([
      ['request', 'POST', '/'],
      ['body', 'helloworld'],
      ['end', []],
    ]);
  });

  it('shows heads in the bytes that came in, without copying them', () => {
    const tables = allocateHeadTables('request');
    const recorder = new Recorder();
    const server = new Http1Server({}, tables, recorder);
    const bytes = Buffer.from(`xx${lines('GET / HTTP/1.1', 'Host: a')}`);
    let seen: Buffer | undefined;
    recorder.afterwards = () => {
      seen ??= tables.head.bytes;
    };
    server.receive(bytes, 2, bytes.length);
    expect(seen).to.equal(bytes);
    expect(tables.head.start).to.equal(2);
  });

  it('says how a connection ended in the middle of something', () => {
    for (const [text, fault] of [
      ['GET / HT', 'truncatedHead'],
      [`${lines('POST / HTTP/1.1', 'Host: a', 'Content-Length: 5')}hell`, 'truncatedBody'],
      [`${CHUNKED}5\r\nhel`, 'truncatedBody'],
      [`${CHUNKED}0\r\nx: y\r\n`, 'truncatedBody'],
      [`${CHUNKED}0\r\n`, 'truncatedBody'],
    ] as const) {
      const recorder = new Recorder();
      const server = new Http1Server({}, allocateHeadTables('request'), recorder);
      server.receive(Buffer.from(text), 0, text.length);
      server.receiveEnd();
      expect(recorder.take().at(-1), text).to.deep.equal(['fault', fault]);
    }
  });

  it('takes an end between messages for a proper one', () => {
    for (const text of ['', '\r\n', '\r\n\r\n']) {
      const recorder = new Recorder();
      const server = new Http1Server({}, allocateHeadTables('request'), recorder);
      for (let at = 0; at < text.length; at++) server.receive(Buffer.from(text), at, at + 1);
      server.receiveEnd();
      expect(recorder.take()).to.deep.equal([]);
      expect(server.finished).to.equal(true);
    }
    const client = new Http1Client({}, allocateHeadTables('response'), new Recorder());
    client.receiveEnd();
    expect(client.finished).to.equal(true);
    expect(client.reusable).to.equal(false);
  });
});
