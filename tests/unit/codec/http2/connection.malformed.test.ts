import { expect } from 'chai';
import { describe, it } from 'mocha';

import { ErrorCode, errorName, PREFACE } from '#codec/http2/frame.ts';

import {
  block,
  CLIENT_START,
  CONNECT_BLOCK,
  data,
  describeFrames,
  frame,
  GET_BLOCK,
  headers,
  hex,
  resetStream,
  SETTINGS,
  SETTINGS_ACK,
  setting,
  uint32,
  windowUpdate,
} from './frames.ts';
import { Peer } from './peers.ts';

const { protocolError, frameSizeError, flowControlError, compressionError, streamClosed } =
  ErrorCode;
const { enhanceYourCalm, noError } = ErrorCode;

const open = headers(1, CONNECT_BLOCK);
const get = headers(1, GET_BLOCK, 0x1);
const none = Buffer.alloc(0);
const DATA = 0;
const END_STREAM = 0x1;
const PADDED = 0x8;
const PRIORITY = 0x20;

/** Bytes behind the preface and SETTINGS of a client, and the connection error that a server ends with. */
const CONNECTION_ERRORS: readonly (readonly [what: string, bytes: Buffer, code: number])[] = [
  ['DATA on stream 0', data(0, 'a'), protocolError],
  ['DATA on an idle stream', data(1, 'a'), protocolError],
  ['DATA on a stream of the server', Buffer.concat([open, data(2, 'a')]), protocolError],
  [
    'padded DATA without payload',
    Buffer.concat([open, frame(DATA, PADDED, 1, none)]),
    frameSizeError,
  ],
  [
    'DATA with more padding than payload',
    Buffer.concat([open, frame(DATA, PADDED, 1, hex('03 61 00'))]),
    protocolError,
  ],
  ['a frame beyond the announced size', frame(DATA, 0, 1, Buffer.alloc(16_385)), frameSizeError],
  ['HEADERS on stream 0', headers(0, CONNECT_BLOCK), protocolError],
  ['HEADERS on an even stream', headers(2, CONNECT_BLOCK), protocolError],
  ['padded HEADERS without payload', frame(1, 0x4 | PADDED, 1, none), frameSizeError],
  [
    'HEADERS with more padding than payload',
    frame(1, 0x4 | PADDED, 1, hex('02 82')),
    protocolError,
  ],
  ['HEADERS shorter than its priority', frame(1, 0x4 | PRIORITY, 1, hex('00 00')), frameSizeError],
  ['a header block that cannot be decoded', headers(1, hex('80')), compressionError],
  ['a header block that ends inside a field', headers(1, hex('40')), compressionError],
  [
    'another frame inside a header block',
    Buffer.concat([frame(1, 0, 1, CONNECT_BLOCK), data(1, 'a')]),
    protocolError,
  ],
  [
    'CONTINUATION of another stream',
    Buffer.concat([frame(1, 0, 1, none), frame(9, 4, 3, CONNECT_BLOCK)]),
    protocolError,
  ],
  ['CONTINUATION without HEADERS', frame(9, 4, 1, CONNECT_BLOCK), protocolError],
  ['CONTINUATION behind a whole block', Buffer.concat([open, frame(9, 4, 1, none)]), protocolError],
  ['PRIORITY on stream 0', frame(2, 0, 0, Buffer.alloc(5)), protocolError],
  ['RST_STREAM on stream 0', resetStream(0, 8), protocolError],
  ['RST_STREAM on an idle stream', resetStream(1, 8), protocolError],
  ['RST_STREAM of 3 bytes', Buffer.concat([open, frame(3, 0, 1, Buffer.alloc(3))]), frameSizeError],
  ['SETTINGS on a stream', frame(4, 0, 1, none), protocolError],
  ['SETTINGS of 7 bytes', frame(4, 0, 0, Buffer.alloc(7)), frameSizeError],
  ['an acknowledgement with a payload', frame(4, 1, 0, Buffer.alloc(6)), frameSizeError],
  ['SETTINGS with 33 values', frame(4, 0, 0, Buffer.alloc(33 * 6)), enhanceYourCalm],
  ['ENABLE_PUSH of 2', frame(4, 0, 0, setting(2, 2)), protocolError],
  ['an initial window of 2^31', frame(4, 0, 0, setting(4, 2 ** 31)), flowControlError],
  ['a frame size below 2^14', frame(4, 0, 0, setting(5, 16_383)), protocolError],
  ['a frame size of 2^24', frame(4, 0, 0, setting(5, 2 ** 24)), protocolError],
  ['ENABLE_CONNECT_PROTOCOL of 2', frame(4, 0, 0, setting(8, 2)), protocolError],
  [
    'an initial window that overflows an open stream',
    Buffer.concat([open, windowUpdate(1, 0x7fff_0000), frame(4, 0, 0, setting(4, 0x7fff_ffff))]),
    flowControlError,
  ],
  ['PUSH_PROMISE', frame(5, 4, 1, Buffer.alloc(4)), protocolError],
  ['PING on a stream', frame(6, 0, 1, Buffer.alloc(8)), protocolError],
  ['PING of 7 bytes', frame(6, 0, 0, Buffer.alloc(7)), frameSizeError],
  ['GOAWAY on a stream', frame(7, 0, 1, Buffer.alloc(8)), protocolError],
  ['GOAWAY of 7 bytes', frame(7, 0, 0, Buffer.alloc(7)), frameSizeError],
  ['GOAWAY of 16 KiB', frame(7, 0, 0, Buffer.alloc(16_384 + 1)), frameSizeError],
  [
    'GOAWAY that raises the last stream',
    Buffer.concat([frame(7, 0, 0, uint32(1, 0)), frame(7, 0, 0, uint32(3, 0))]),
    protocolError,
  ],
  ['WINDOW_UPDATE of 3 bytes', frame(8, 0, 0, Buffer.alloc(3)), frameSizeError],
  ['WINDOW_UPDATE of 0 for the connection', windowUpdate(0, 0), protocolError],
  [
    'WINDOW_UPDATE beyond 2^31-1 for the connection',
    windowUpdate(0, 0x7fff_ffff),
    flowControlError,
  ],
  ['WINDOW_UPDATE on an idle stream', windowUpdate(1, 1), protocolError],
];

/** Bytes behind the preface and SETTINGS of a client, and the code that the server resets stream 1 with. */
const STREAM_ERRORS: readonly (readonly [what: string, bytes: Buffer, code: number])[] = [
  [
    'a request without a path',
    headers(1, block([':method', 'GET'], [':scheme', 'http'])),
    protocolError,
  ],
  [
    'CONNECT with a path',
    headers(1, block([':method', 'CONNECT'], [':authority', 'a:1'], [':path', '/'])),
    protocolError,
  ],
  ['an upper-case name', headers(1, Buffer.concat([GET_BLOCK, block(['A', 'b'])])), protocolError],
  [
    'a line break in a value',
    headers(1, Buffer.concat([GET_BLOCK, block(['a', 'b\r\nc: d'])])),
    protocolError,
  ],
  [
    'transfer-encoding',
    headers(1, Buffer.concat([GET_BLOCK, block(['transfer-encoding', 'chunked'])])),
    protocolError,
  ],
  [
    'a content-length without content',
    headers(1, Buffer.concat([GET_BLOCK, block(['content-length', '1'])]), END_STREAM),
    protocolError,
  ],
  [
    'more content than content-length',
    Buffer.concat([
      headers(1, Buffer.concat([GET_BLOCK, block(['content-length', '1'])])),
      data(1, 'ab'),
    ]),
    protocolError,
  ],
  [
    'less content than content-length',
    Buffer.concat([
      headers(1, Buffer.concat([GET_BLOCK, block(['content-length', '3'])])),
      data(1, 'ab', END_STREAM),
    ]),
    protocolError,
  ],
  [
    'less content than content-length, ended by trailers',
    Buffer.concat([
      headers(1, Buffer.concat([GET_BLOCK, block(['content-length', '3'])])),
      data(1, 'ab'),
      headers(1, block(['a', 'b']), END_STREAM),
    ]),
    protocolError,
  ],
  [
    'trailers that do not end the stream',
    Buffer.concat([headers(1, GET_BLOCK), headers(1, block(['a', 'b']))]),
    protocolError,
  ],
  [
    'trailers with a pseudo header',
    Buffer.concat([headers(1, GET_BLOCK), headers(1, block([':path', '/']), END_STREAM)]),
    protocolError,
  ],
  [
    'trailers on a CONNECT',
    Buffer.concat([open, headers(1, block(['a', 'b']), END_STREAM)]),
    protocolError,
  ],
  ['DATA behind the end of the stream', Buffer.concat([get, data(1, 'a')]), streamClosed],
  [
    'HEADERS behind the end of the stream',
    Buffer.concat([get, headers(1, block(['a', 'b']), END_STREAM)]),
    streamClosed,
  ],
  [
    'DATA on a stream that the peer has reset',
    Buffer.concat([open, resetStream(1, 8), data(1, 'a')]),
    streamClosed,
  ],
  [
    'HEADERS on a stream that the peer has reset',
    Buffer.concat([open, resetStream(1, 8), headers(1, block(['a', 'b']), END_STREAM)]),
    streamClosed,
  ],
  ['HEADERS below the last stream', Buffer.concat([headers(3, CONNECT_BLOCK), open]), streamClosed],
  ['WINDOW_UPDATE of 0', Buffer.concat([open, windowUpdate(1, 0)]), protocolError],
  [
    'WINDOW_UPDATE beyond 2^31-1',
    Buffer.concat([open, windowUpdate(1, 0x7fff_ffff)]),
    flowControlError,
  ],
  ['PRIORITY of 4 bytes', Buffer.concat([open, frame(2, 0, 1, Buffer.alloc(4))]), frameSizeError],
  [
    'more fields than allowed',
    headers(1, Buffer.concat([GET_BLOCK, ...Array.from({ length: 130 }, () => block(['a', 'b']))])),
    noError,
  ],
];

/** Looks strange, but is allowed. */
const ALLOWED: readonly (readonly [what: string, bytes: Buffer])[] = [
  ['a frame of unknown type', frame(0xbb, 0xff, 7, Buffer.alloc(100))],
  ['an unknown setting', frame(4, 0, 0, setting(0xabcd, 1))],
  ['unknown flags and the reserved bit', frame(1, 0x4 | 0xc2, 0x8000_0001, CONNECT_BLOCK)],
  [
    'a header block in single bytes',
    Buffer.concat([
      frame(1, 0, 1, none),
      ...Array.from(CONNECT_BLOCK, (byte) => frame(9, 0, 1, Buffer.from([byte]))),
      frame(9, 4, 1, none),
    ]),
  ],
  [
    'padding and priority',
    frame(
      1,
      0x4 | PADDED | PRIORITY,
      1,
      Buffer.concat([hex('02 00000000 10'), CONNECT_BLOCK, hex('0000')]),
    ),
  ],
  ['a priority that depends on itself', Buffer.concat([open, frame(2, 0, 1, hex('00000001 00'))])],
  [
    'a second SETTINGS that shrinks the windows below zero',
    Buffer.concat([open, frame(4, 0, 0, setting(4, 0))]),
  ],
  [
    'WINDOW_UPDATE on a stream that is closed',
    Buffer.concat([open, resetStream(1, 8), windowUpdate(1, 5)]),
  ],
  [
    'RST_STREAM on a stream that is closed',
    Buffer.concat([open, resetStream(1, 8), resetStream(1, 8)]),
  ],
  ['an acknowledgement too many', Buffer.concat([SETTINGS_ACK, SETTINGS_ACK])],
  ['an answer to a PING that was never sent', frame(6, 1, 0, Buffer.alloc(8))],
  ['only padding', Buffer.concat([open, frame(DATA, PADDED, 1, hex('01 00'))])],
];

function serverThatReceived(bytes: Buffer): Peer {
  const server = new Peer('server', { maxFrameSize: 16_384 });
  server.receive(Buffer.concat([CLIENT_START, bytes]));
  return server;
}

describe('Http2Connection, server, malformed input', () => {
  for (const [what, bytes, code] of CONNECTION_ERRORS)
    it(`receive() ends the connection with ${errorName(code)} for ${what}`, () => {
      const server = serverThatReceived(bytes);
      const fault = server.recorder.take().at(-1);
      expect(fault?.slice(0, 2), String(fault?.[2])).to.deep.equal(['fault', code]);
      const goaway = describeFrames(server.output.take()).at(-1);
      expect(goaway).to.match(new RegExp(`^GOAWAY 0 .{8}0000000${code.toString(16)}$`));
      server.receive(data(0, 'more'));
      expect(server.recorder.take()).to.deep.equal([]);
      expect(server.output.end).to.equal(0);
    });

  it('receive() answers 431 to a request with a head that is too large', () => {
    const fields = Array.from({ length: 130 }, () => block(['a', 'b']));
    const server = serverThatReceived(headers(1, Buffer.concat([GET_BLOCK, ...fields])));
    expect(server.recorder.take().map(([name]) => name)).to.not.include('headers');
    const client = clientThatReceived(Buffer.from(server.output.take()));
    expect(client.recorder.take()).to.deep.include(['headers', 1, [':status: 431'], true]);
  });

  for (const [what, bytes, code] of STREAM_ERRORS)
    it(`receive() resets the stream with ${errorName(code)} for ${what}`, () => {
      const server = serverThatReceived(bytes);
      const events = server.recorder.take();
      expect(events.filter(([name]) => name === 'fault')).to.deep.equal([]);
      const last = describeFrames(server.output.take()).at(-1);
      expect(last).to.equal(`RST_STREAM 1 0000000${code.toString(16)}`);
      expect([...server.connection.streams()].map((stream) => stream.id)).to.not.include(1);
      // The connection and its header tables are still good.
      server.receive(headers(9, CONNECT_BLOCK));
      expect(server.recorder.take()).to.deep.equal([
        ['headers', 9, [':method: CONNECT', ':authority: a:1'], false],
      ]);
    });

  for (const [what, bytes] of ALLOWED)
    it(`receive() goes on after ${what}`, () => {
      const server = serverThatReceived(bytes);
      server.output.take();
      server.receive(headers(9, CONNECT_BLOCK));
      expect(server.recorder.take().at(-1)?.slice(0, 2)).to.deep.equal(['headers', 9]);
      expect(server.output.end).to.equal(0);
    });

  it('receive() refuses anything but the preface', () => {
    const server = new Peer('server');
    server.receive(Buffer.from('GET / HTTP/1.1\r\n\r\n'));
    expect(server.recorder.take().map((event) => event[0])).to.deep.equal(['fault']);
  });

  for (const [what, bytes] of [
    ['DATA', data(1, 'a')],
    ['an acknowledgement', SETTINGS_ACK],
    ['PING', frame(6, 0, 0, Buffer.alloc(8))],
  ] as const)
    it(`receive() refuses ${what} as the first frame`, () => {
      const server = new Peer('server');
      server.receive(Buffer.concat([PREFACE, bytes]));
      expect(server.recorder.take().at(-1)?.slice(0, 2)).to.deep.equal(['fault', protocolError]);
    });
});

/** A client with a CONNECT on stream 1 and a GET on stream 3 that received these bytes. */
function clientThatReceived(bytes: Buffer): Peer {
  const client = new Peer('client');
  client.connection.openStream(
    [
      [':method', 'CONNECT'],
      [':authority', 'a:1'],
    ],
    false,
  );
  client.connection.openStream(
    [
      [':method', 'GET'],
      [':scheme', 'http'],
      [':path', '/'],
    ],
    true,
  );
  client.output.take();
  client.receive(Buffer.concat([SETTINGS, bytes]));
  return client;
}

describe('Http2Connection, client, malformed input', () => {
  const ok = hex('88');
  for (const [what, bytes, code] of [
    ['a stream of the server', headers(2, ok), protocolError],
    ['HEADERS on an idle stream', headers(5, ok), protocolError],
    ['PUSH_PROMISE', frame(5, 4, 1, Buffer.alloc(4)), protocolError],
    ['ENABLE_PUSH of 1', frame(4, 0, 0, setting(2, 1)), protocolError],
    ['an answer of HTTP/1.1', Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'), frameSizeError],
  ] as const)
    it(`receive() ends the connection with ${errorName(code)} for ${what}`, () => {
      const events = clientThatReceived(bytes).recorder.take();
      expect(events.at(-1)?.slice(0, 2)).to.deep.equal(['fault', code]);
    });

  for (const [what, streamId, bytes, code] of [
    ['DATA before the response', 1, data(1, 'a'), protocolError],
    ['a response without a status', 1, headers(1, block(['a', 'b'])), protocolError],
    ['101', 1, headers(1, block([':status', '101'])), protocolError],
    [
      'an interim response that ends the stream',
      1,
      headers(1, block([':status', '103']), END_STREAM),
      protocolError,
    ],
    [
      'trailers on a tunnel',
      1,
      Buffer.concat([headers(1, ok), headers(1, block(['a', 'b']), END_STREAM)]),
      protocolError,
    ],
    [
      'content that a 204 must not have',
      3,
      Buffer.concat([headers(3, hex('89')), data(3, 'a')]),
      protocolError,
    ],
    [
      'DATA beyond the content-length',
      3,
      Buffer.concat([
        headers(3, Buffer.concat([ok, block(['content-length', '1'])])),
        data(3, 'ab'),
      ]),
      protocolError,
    ],
    [
      'a list beyond the announced size',
      3,
      headers(
        3,
        Buffer.concat([ok, ...Array.from({ length: 110 }, () => block(['a', 'b'.repeat(126)]))]),
      ),
      enhanceYourCalm,
    ],
  ] as const)
    it(`receive() resets the stream with ${errorName(code)} for ${what}`, () => {
      const client = clientThatReceived(bytes);
      const events = client.recorder.take();
      expect(events.at(-1)).to.deep.equal(['reset', streamId, code, false]);
      const last = describeFrames(client.output.take()).at(-1);
      expect(last).to.equal(`RST_STREAM ${streamId} 0000000${code.toString(16)}`);
    });

  it('receive() takes trailers of a CONNECT that was refused', () => {
    const client = clientThatReceived(
      Buffer.concat([
        headers(1, block([':status', '503'])),
        data(1, 'no'),
        headers(1, block(['a', 'b']), END_STREAM),
      ]),
    );
    expect(client.recorder.take().slice(1)).to.deep.equal([
      ['headers', 1, [':status: 503'], false],
      ['data', 1, 'no', false],
      ['headers', 1, ['a: b'], true],
    ]);
  });

  it('receive() does not take the content-length of a tunnel for real', () => {
    const client = clientThatReceived(
      Buffer.concat([
        headers(1, Buffer.concat([ok, block(['content-length', '1'])])),
        data(1, 'abc'),
      ]),
    );
    expect(client.recorder.take().at(-1)).to.deep.equal(['data', 1, 'abc', false]);
  });

  it('openStream() and sendHeaders() throw rather than send what a receiver must refuse', () => {
    const client = new Peer('client');
    for (const [name, value] of [
      ['a', 'b\r\nc: d'],
      ['A', 'b'],
      ['a b', 'c'],
      ['a', '\u20ac'],
      ['a', ' b'],
    ] as const)
      expect(() => client.connection.openStream([[name, value]], false)).to.throw(
        `Header "${name}"`,
      );
  });
});
