import { expect } from 'chai';
import { describe, it } from 'mocha';

import { requestToHttp2, responseToHttp2, trailersToHttp2 } from '#codec/http1/to-http2.ts';
import { type Header, makeField } from '#codec/http2/field.ts';
import { HeaderList } from '#codec/http2/header-list.ts';

import { lines, parsed } from './heads.ts';

function judged(headers: readonly Header[]): HeaderList {
  const list = new HeaderList(65_536);
  list.clear();
  for (const [name, value] of headers) list.addField(makeField(name, value, true));
  return list;
}

describe('requestToHttp2()', () => {
  it('makes a header list that HTTP/2 takes, whatever form the target has', () => {
    for (const [request, expected] of [
      [
        ['GET /x HTTP/1.1', 'Host: a'],
        [':method GET', ':scheme http', ':path /x', ':authority a'],
      ],
      [
        ['GET https://a:1 HTTP/1.1', 'Host: A:1'],
        [':method GET', ':scheme https', ':path /', ':authority a:1'],
      ],
      [
        ['OPTIONS * HTTP/1.1', 'Host: a'],
        [':method OPTIONS', ':scheme http', ':path *', ':authority a'],
      ],
      [
        ['GET / HTTP/1.0', 'X-Y: Z'],
        [':method GET', ':scheme http', ':path /', 'x-y Z'],
      ],
      [
        ['CONNECT a:1 HTTP/1.1', 'Host: a:1'],
        [':method CONNECT', ':authority a:1'],
      ],
    ] as const) {
      const headers = requestToHttp2(parsed('request', lines(...request)), 'http');
      expect(headers.map((header) => header.join(' '))).to.deep.equal(expected);
      expect(judged(headers).isRequest(), request[0]).to.equal(true);
    }
  });

  it('leaves out what belongs to the connection, and keeps TE: trailers', () => {
    const request = lines(
      'POST / HTTP/1.1',
      'Host: a',
      'Connection: keep-alive, x-hop, te',
      'X-Hop: 1',
      'Keep-Alive: 5',
      'Proxy-Connection: x',
      'Transfer-Encoding: chunked',
      'Upgrade: h2c',
      'TE: deflate, trailers',
      'Cookie: a=1; b=2',
    );
    const headers = requestToHttp2(parsed('request', request), 'http');
    expect(headers.slice(4)).to.deep.equal([
      ['cookie', 'a=1; b=2'],
      ['te', 'trailers'],
    ]);
    expect(judged(headers).isRequest()).to.equal(true);
  });
});

describe('responseToHttp2()', () => {
  it('makes a header list that HTTP/2 takes', () => {
    const head = lines('HTTP/1.1 200 OK', 'Connection: close', 'X: y', 'Content-Length: 3');
    const headers = responseToHttp2(parsed('response', head));
    expect(headers).to.deep.equal([
      [':status', '200'],
      ['x', 'y'],
      ['content-length', '3'],
    ]);
    expect(judged(headers).isResponse()).to.equal(true);
    const empty = lines('HTTP/1.1 204 x', 'Content-Length: 3');
    expect(responseToHttp2(parsed('response', empty))).to.deep.equal([[':status', '204']]);
  });
});

describe('trailersToHttp2()', () => {
  it('makes a header list that HTTP/2 takes', () => {
    const trailers = trailersToHttp2(parsed('trailers', lines('Grpc-Status: 0', 'Cookie: x')));
    expect(trailers).to.deep.equal([['grpc-status', '0']]);
    expect(judged(trailers).isTrailers()).to.equal(true);
  });
});
