import { expect } from 'chai';
import { describe, it } from 'mocha';

import { type Header, makeField } from '#codec/http2/field.ts';
import { FIELDS_MAX, HeaderList } from '#codec/http2/header-list.ts';

function listOf(headers: readonly Header[], sizeMax = 65_536): HeaderList {
  const list = new HeaderList(sizeMax);
  list.clear();
  for (const [name, value] of headers) list.addField(makeField(name, value, true));
  return list;
}

const GET: readonly Header[] = [
  [':method', 'GET'],
  [':scheme', 'https'],
  [':path', '/'],
];

function get(...changes: Header[]): Header[] {
  const names = new Set(changes.map(([name]) => name));
  return [...GET.filter(([name]) => !names.has(name)), ...changes];
}

describe('HeaderList', () => {
  const requests: readonly (readonly [what: string, headers: readonly Header[], good: boolean])[] =
    [
      ['method, scheme and path', GET, true],
      ['an authority too', get([':authority', 'a.b:80']), true],
      ['an IPv6 authority', get([':authority', '[::1]:80']), true],
      ['OPTIONS of everything', get([':method', 'OPTIONS'], [':path', '*']), true],
      ['a star for another method', get([':path', '*']), false],
      ['no method', GET.slice(1), false],
      ['no scheme', [GET[0]!, GET[2]!], false],
      ['no path', GET.slice(0, 2), false],
      ['an empty path', get([':path', '']), false],
      ['a path without a slash', get([':path', 'a']), false],
      ['a path with a blank', get([':path', '/a b']), false],
      ['a path with a fragment', get([':path', '/a#b']), false],
      ['a method that is no token', get([':method', 'GE T']), false],
      ['a scheme that is none', get([':scheme', '1:']), false],
      ['user information in the authority', get([':authority', 'u@a']), false],
      ['two ports in the authority', get([':authority', 'a:1:2']), false],
      ['two hosts in the authority', get([':authority', 'a,b']), false],
      ['half an address in the authority', get([':authority', '[::1']), false],
      ['letters for a port', get([':authority', 'a:b']), false],
      ['a status', [...GET, [':status', '200']], false],
      ['an unknown pseudo header', [...GET, [':other', 'a']], false],
      [
        'the extension of RFC 8441, which was not offered',
        [...GET, [':protocol', 'websocket']],
        false,
      ],
      ['two methods', [...GET, [':method', 'GET']], false],
      ['a pseudo header behind a regular one', [...GET, ['a', 'b'], [':authority', 'a']], false],
      ['the same host', get([':authority', 'a'], ['host', 'A']), true],
      ['another host', get([':authority', 'a'], ['host', 'b']), false],
      ['a host alone', get(['host', 'a:80']), true],
      ['two hosts', get(['host', 'a'], ['host', 'b']), false],
      ['a host with user information', get(['host', 'u@a']), false],
      ['connection', get(['connection', 'close']), false],
      ['proxy-connection', get(['proxy-connection', 'close']), false],
      ['keep-alive', get(['keep-alive', '1']), false],
      ['transfer-encoding', get(['transfer-encoding', 'chunked']), false],
      ['upgrade', get(['upgrade', 'h2c']), false],
      ['te: trailers', get(['te', 'trailers']), true],
      ['another te', get(['te', 'gzip']), false],
      ['a content-length', get(['content-length', '12']), true],
      ['a content-length that is no number', get(['content-length', '+1']), false],
      ['two content-lengths', get(['content-length', '1'], ['content-length', '1']), false],
      [
        'CONNECT with an authority',
        [
          [':method', 'CONNECT'],
          [':authority', 'a:1'],
        ],
        true,
      ],
      ['CONNECT without an authority', [[':method', 'CONNECT']], false],
      [
        'CONNECT with an empty authority',
        [
          [':method', 'CONNECT'],
          [':authority', ''],
        ],
        false,
      ],
      [
        'CONNECT with a path',
        [
          [':method', 'CONNECT'],
          [':authority', 'a:1'],
          [':path', '/'],
        ],
        false,
      ],
      [
        'CONNECT with a scheme',
        [
          [':method', 'CONNECT'],
          [':authority', 'a:1'],
          [':scheme', 'http'],
        ],
        false,
      ],
      [
        'CONNECT with another host',
        [
          [':method', 'CONNECT'],
          [':authority', 'a:1'],
          ['host', 'b'],
        ],
        false,
      ],
      ['nothing', [], false],
    ];
  for (const [what, headers, good] of requests)
    it(`isRequest() ${good ? 'takes' : 'refuses'} ${what}`, () => {
      expect(listOf(headers).isRequest()).to.equal(good);
    });

  const responses: readonly (readonly [what: string, headers: readonly Header[], good: boolean])[] =
    [
      ['a status', [[':status', '200']], true],
      ['an interim status', [[':status', '103']], true],
      ['101', [[':status', '101']], false],
      ['no status', [['a', 'b']], false],
      ['a status of two digits', [[':status', '20']], false],
      ['a status with a sign', [[':status', '+20']], false],
      ['a status below 100', [[':status', '099']], false],
      [
        'two statuses',
        [
          [':status', '200'],
          [':status', '200'],
        ],
        false,
      ],
      [
        'a path',
        [
          [':status', '200'],
          [':path', '/'],
        ],
        false,
      ],
      [
        'connection',
        [
          [':status', '200'],
          ['connection', 'close'],
        ],
        false,
      ],
    ];
  for (const [what, headers, good] of responses)
    it(`isResponse() ${good ? 'takes' : 'refuses'} ${what}`, () => {
      expect(listOf(headers).isResponse()).to.equal(good);
    });

  it('isTrailers() refuses every pseudo header', () => {
    expect(listOf([['grpc-status', '0']]).isTrailers()).to.equal(true);
    expect(listOf([[':status', '200']]).isTrailers()).to.equal(false);
    expect(listOf([[':method', 'GET']]).isTrailers()).to.equal(false);
  });

  it('addField() refuses what is malformed wherever it stands', () => {
    const list = listOf([[':status', '200']]);
    list.addField(makeField('a', 'b\n', false));
    expect(list.isResponse()).to.equal(false);
    expect(list.isTrailers()).to.equal(false);
  });

  it('clear() forgets everything of the last list', () => {
    const list = listOf([
      [':method', 'CONNECT'],
      [':authority', 'a:1'],
      ['connection', 'a'],
    ]);
    const { headers } = list;
    list.clear();
    for (const [name, value] of get(['host', 'b'])) list.addField(makeField(name, value, true));
    expect(list.isRequest()).to.equal(true);
    expect(headers).to.have.length(3);
  });

  it('addField() takes a list of exactly the size that was announced, 32 bytes counted for each field', () => {
    const name = 'a'.repeat(100);
    const value = 'b'.repeat(1000 - 100 - 32);
    expect(listOf([[name, value]], 1000).tooLarge).to.equal(false);
    expect(listOf([[name, `${value}b`]], 1000).tooLarge).to.equal(true);
  });

  it(`addField() takes ${FIELDS_MAX} fields and no more`, () => {
    const fields = Array.from({ length: FIELDS_MAX }, (): Header => ['cookie', 'a']);
    expect(listOf(fields).tooLarge).to.equal(false);
    expect(listOf([...fields, ['cookie', 'a']]).tooLarge).to.equal(true);
  });
});
