import { expect } from 'chai';
import { describe, it } from 'mocha';

import type { Header } from '#codec/http2/field.ts';

import { lines } from './heads.ts';
import { ClientPeer, ServerPeer, written } from './peers.ts';

const GET: readonly Header[] = [
  [':method', 'GET'],
  [':scheme', 'http'],
  [':path', '/a?b'],
  [':authority', 'shop:80'],
];

function asked(headers: readonly Header[], ended: boolean): string {
  const peer = new ClientPeer();
  peer.client.sendHeaders(peer.output, headers, ended);
  return written(peer.output);
}

/** The lines behind Host. */
function framing(headers: readonly Header[], ended: boolean): string[] {
  return asked(headers, ended).split('\r\n').slice(2, -2);
}

describe('writeRequestHeaders()', () => {
  it('makes a request of HTTP/1.1 from one of HTTP/2', () => {
    expect(asked([...GET, ['x', 'y'], ['user-agent', 'u']], true)).to.equal(
      lines('GET /a?b HTTP/1.1', 'host: shop:80', 'x: y', 'user-agent: u'),
    );
  });

  it('puts cookies together, and takes Host from where it is', () => {
    const headers: readonly Header[] = [
      ...GET.slice(0, 3),
      ['host', 'b'],
      ['cookie', 'a=1'],
      ['x', 'y'],
      ['cookie', 'c=2'],
    ];
    expect(asked(headers, true)).to.equal(
      lines('GET /a?b HTTP/1.1', 'host: b', 'cookie: a=1; c=2', 'x: y'),
    );
  });

  it('frames a body by its length, or in chunks', () => {
    const post: readonly Header[] = [[':method', 'POST'], ...GET.slice(1)];
    expect(framing([...post, ['content-length', '5']], false)).to.deep.equal(['content-length: 5']);
    expect(framing(post, false)).to.deep.equal(['transfer-encoding: chunked']);
    expect(framing(post, true)).to.deep.equal(['content-length: 0']);
    expect(framing(GET, true)).to.deep.equal([]);
  });

  it('says that trailers are taken, to this server', () => {
    expect(asked([...GET, ['te', 'trailers']], true)).to.contain(
      '\r\nte: trailers\r\nconnection: te\r\n\r\n',
    );
  });

  it('sends trailers, without those that have no place there', () => {
    const peer = new ClientPeer();
    peer.client.sendHeaders(peer.output, [[':method', 'POST'], ...GET.slice(1)], false);
    written(peer.output);
    peer.client.sendBody(peer.output, Buffer.from('hello'), 0, 5);
    peer.client.sendEnd(peer.output, [
      ['grpc-status', '0'],
      ['content-length', '5'],
      ['authorization', 'x'],
    ]);
    expect(written(peer.output)).to.equal('5\r\nhello\r\n0\r\ngrpc-status: 0\r\n\r\n');
  });
});

describe('writeResponseHeaders()', () => {
  it('makes a response of HTTP/1.1 from one of HTTP/2', () => {
    const peer = new ServerPeer();
    peer.receive(lines('GET / HTTP/1.1', 'Host: a'));
    peer.server.sendHeaders(
      peer.output,
      [
        [':status', '404'],
        ['set-cookie', 'a'],
        ['set-cookie', 'b'],
      ],
      false,
    );
    expect(written(peer.output)).to.equal(
      lines(
        'HTTP/1.1 404 Not Found',
        'set-cookie: a',
        'set-cookie: b',
        'transfer-encoding: chunked',
      ),
    );
    peer.server.sendEnd(peer.output, [['grpc-status', '5']]);
    expect(written(peer.output)).to.equal('0\r\ngrpc-status: 5\r\n\r\n');
  });

  it('leaves the reason empty when it does not know one', () => {
    const peer = new ServerPeer();
    peer.receive(lines('GET / HTTP/1.1', 'Host: a'));
    expect(peer.respond(299, '')).to.match(/^HTTP\/1.1 299 \r\n/);
  });
});
