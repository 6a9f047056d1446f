import { expect } from 'chai';
import { describe, it } from 'mocha';

import { lines, outcome, parsed } from './heads.ts';
import { fieldsOf } from './recorder.ts';

const GET = 'GET / HTTP/1.1';
const POST = 'POST / HTTP/1.1';
const OK = 'HTTP/1.1 200 OK';
const HOST = 'Host: a';

function upgradeOf(...fields: string[]): string {
  return parsed('request', lines(GET, HOST, ...fields)).upgrade;
}

function expectsContinue(...fields: string[]): boolean {
  return parsed('request', lines(POST, HOST, ...fields)).expectsContinue;
}

describe('judgeHead(), framing', () => {
  it('finds the framing of a request', () => {
    for (const [fields, framing, length] of [
      [[], 'none', -1],
      [['Content-Length: 0'], 'none', 0],
      [['Content-Length: 17'], 'length', 17],
      [['content-length:\t 0017 '], 'length', 17],
      [['CONTENT-LENGTH: 999999999999999'], 'length', 999_999_999_999_999],
      [['Transfer-Encoding: chunked'], 'chunked', -1],
      [['TRANSFER-encoding:   ChunkeD\t'], 'chunked', -1],
    ] as const) {
      const head = parsed('request', lines(POST, HOST, ...fields));
      expect([head.framing, head.contentLength]).to.deep.equal([framing, length]);
    }
  });

  it('finds the framing of a response, which lasts to the close when nothing is said', () => {
    for (const [fields, framing, length] of [
      [[], 'untilClose', -1],
      [['Content-Length: 0'], 'length', 0],
      [['Content-Length: 5'], 'length', 5],
      [['Transfer-Encoding: chunked'], 'chunked', -1],
    ] as const) {
      const head = parsed('response', lines(OK, ...fields));
      expect([head.framing, head.contentLength]).to.deep.equal([framing, length]);
    }
  });

  it('refuses every head whose end two readers could see in two places', () => {
    for (const [fields, fault] of [
      [['Content-Length: 5', 'Transfer-Encoding: chunked'], 'lengthAndTransferEncoding'],
      [['Transfer-Encoding: chunked', 'Content-Length: 0'], 'lengthAndTransferEncoding'],
      [['Content-Length: 5', 'Content-Length: 6'], 'severalContentLengths'],
      [['Content-Length: 5', 'Content-Length: 5'], 'severalContentLengths'],
      [['Content-Length: 5, 5'], 'invalidContentLength'],
      [['Content-Length: +5'], 'invalidContentLength'],
      [['Content-Length: -5'], 'invalidContentLength'],
      [['Content-Length: 5 5'], 'invalidContentLength'],
      [['Content-Length: 0x5'], 'invalidContentLength'],
      [['Content-Length: 5.0'], 'invalidContentLength'],
      [['Content-Length: 1e3'], 'invalidContentLength'],
      [['Content-Length: five'], 'invalidContentLength'],
      [['Content-Length: \xb2'], 'invalidContentLength'],
      [['Content-Length:'], 'invalidContentLength'],
      [['Content-Length: 1000000000000000'], 'invalidContentLength'],
      [['Content-Length: 18446744073709551617'], 'invalidContentLength'],
      [['Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'], 'severalTransferEncodings'],
      [['Transfer-Encoding: chunked', 'Transfer-Encoding: identity'], 'severalTransferEncodings'],
      [['Transfer-Encoding: xchunked'], 'unsupportedTransferEncoding'],
      [['Transfer-Encoding: chunked, chunked'], 'unsupportedTransferEncoding'],
      [['Transfer-Encoding: gzip, chunked'], 'unsupportedTransferEncoding'],
      [['Transfer-Encoding: chunked, identity'], 'unsupportedTransferEncoding'],
      [['Transfer-Encoding: identity'], 'unsupportedTransferEncoding'],
      [['Transfer-Encoding: "chunked"'], 'unsupportedTransferEncoding'],
      [['Transfer-Encoding: chunked;q=1'], 'unsupportedTransferEncoding'],
      [['Transfer-Encoding: ,chunked'], 'unsupportedTransferEncoding'],
      [['Transfer-Encoding:'], 'unsupportedTransferEncoding'],
      [['Transfer-Encoding:\x0bchunked'], 'invalidFieldValue'],
      [['Transfer-Encoding : chunked'], 'whitespaceBeforeColon'],
      [['X: y', ' Transfer-Encoding: chunked'], 'obsoleteFold'],
      [['X: y\nTransfer-Encoding: chunked'], 'bareLineFeed'],
      [['X: y\rTransfer-Encoding: chunked'], 'bareCarriageReturn'],
      [['Transfer-Encoding: chunked\0'], 'nulByte'],
      [['Transfer\xad-Encoding: chunked'], 'invalidFieldName'],
    ] as const) {
      expect(outcome('request', lines(POST, HOST, ...fields)), fields[0]).to.equal(fault);
      expect(outcome('response', lines(OK, ...fields)), fields[0]).to.equal(fault);
    }
  });

  it('takes fields whose names only look like those of framing', () => {
    const head = parsed('request', lines(POST, HOST, 'Transfer_Encoding: x', 'Content-Length_: 5'));
    expect(head.framing).to.equal('none');
  });

  it('refuses transfer codings in HTTP/1.0', () => {
    const te = 'Transfer-Encoding: chunked';
    expect(outcome('request', lines('POST / HTTP/1.0', te))).to.equal('transferEncodingInHttp10');
    expect(outcome('response', lines('HTTP/1.0 200 OK', te))).to.equal('transferEncodingInHttp10');
  });

  it('refuses content in a CONNECT', () => {
    for (const field of ['Content-Length: 5', 'Transfer-Encoding: chunked'])
      expect(outcome('request', lines('CONNECT a:1 HTTP/1.1', 'Host: a:1', field))).to.equal(
        'contentInConnect',
      );
  });
});

describe('judgeHead(), host', () => {
  it('finds scheme, authority and path of every form of target', () => {
    for (const [line, host, expected] of [
      ['GET /x?y HTTP/1.1', 'a:80', ['origin', '', 'a:80', '/x?y']],
      ['GET http://b/x?y HTTP/1.1', 'B', ['absolute', 'http', 'b', '/x?y']],
      ['GET HTTPS://b:8443 HTTP/1.1', 'b:8443', ['absolute', 'https', 'b:8443', '/']],
      ['GET http://b?y HTTP/1.1', 'b', ['absolute', 'http', 'b', '/?y']],
      ['OPTIONS http://b HTTP/1.1', 'b', ['absolute', 'http', 'b', '*']],
      ['OPTIONS * HTTP/1.1', 'b', ['asterisk', '', 'b', '*']],
      ['CONNECT b:443 HTTP/1.1', 'b:443', ['authority', '', 'b:443', '']],
      ['CONNECT [::1]:443 HTTP/1.1', '[::1]:443', ['authority', '', '[::1]:443', '']],
      ['GET / HTTP/1.1', '', ['origin', '', '', '/']],
      ['GET //x/../y HTTP/1.1', '[fe80::1]', ['origin', '', '[fe80::1]', '//x/../y']],
    ] as const) {
      const head = parsed('request', lines(line, `Host: ${host}`));
      expect([head.form, head.scheme, head.authority, head.path], line).to.deep.equal(expected);
    }
  });

  it('refuses a missing, second, invalid or contradicting Host', () => {
    for (const [line, hosts, fault] of [
      [GET, [], 'missingHost'],
      ['GET http://a/ HTTP/1.1', [], 'missingHost'],
      [GET, ['a', 'b'], 'severalHosts'],
      [GET, ['a', 'a'], 'severalHosts'],
      [GET, ['a, b'], 'invalidHost'],
      [GET, ['a,b'], 'invalidHost'],
      [GET, ['user@a'], 'invalidHost'],
      [GET, ['a b'], 'invalidHost'],
      [GET, ['a/b'], 'invalidHost'],
      [GET, ['a\\b'], 'invalidHost'],
      [GET, ['a#b'], 'invalidHost'],
      [GET, ['a?b'], 'invalidHost'],
      [GET, ['\xe9'], 'invalidHost'],
      [GET, ['a:b'], 'invalidHost'],
      [GET, ['a:1:2'], 'invalidHost'],
      [GET, [':80'], 'invalidHost'],
      [GET, ['::1'], 'invalidHost'],
      [GET, ['[::1'], 'invalidHost'],
      [GET, ['a]:1'], 'invalidHost'],
      ['GET http://a/ HTTP/1.1', ['b'], 'hostMismatch'],
      ['GET http://a/ HTTP/1.1', ['a:80'], 'hostMismatch'],
      ['GET http://a/ HTTP/1.1', [''], 'hostMismatch'],
      ['CONNECT a:1 HTTP/1.1', ['a:2'], 'hostMismatch'],
    ] as const) {
      const text = lines(line, ...hosts.map((host) => `Host: ${host}`));
      expect(outcome('request', text), text).to.equal(fault);
    }
  });

  it('refuses targets that are of no form, or of one that the method cannot have', () => {
    for (const line of [
      'GET http:/// HTTP/1.1',
      'GET http:// HTTP/1.1',
      'GET http:/a HTTP/1.1',
      'GET ftp://a/ HTTP/1.1',
      'GET http://u@a/ HTTP/1.1',
      'GET http://a:b/ HTTP/1.1',
      'GET http://a,b/ HTTP/1.1',
      'GET javascript:alert(1) HTTP/1.1',
      'GET a:443 HTTP/1.1',
      'POST * HTTP/1.1',
      'OPTIONS ** HTTP/1.1',
      'CONNECT / HTTP/1.1',
      'CONNECT a HTTP/1.1',
      'CONNECT a: HTTP/1.1',
      'CONNECT :1 HTTP/1.1',
      'CONNECT http://a:1/ HTTP/1.1',
      'CONNECT u@a:1 HTTP/1.1',
    ])
      expect(outcome('request', lines(line, HOST)), line).to.equal('invalidTarget');
  });

  it('takes a request of HTTP/1.0 without Host', () => {
    expect(parsed('request', lines('GET / HTTP/1.0')).authority).to.equal('');
    const absolute = parsed('request', lines('GET http://a/ HTTP/1.0'));
    expect(absolute.authority).to.equal('a');
  });
});

describe('judgeHead(), connection', () => {
  it('says whether the connection goes on', () => {
    for (const [version, fields, keepAlive] of [
      ['1.1', [], true],
      ['1.1', ['Connection: close'], false],
      ['1.1', ['Connection: keep-alive, CLOSE'], false],
      ['1.1', ['Connection: x', 'Connection: close'], false],
      ['1.0', [], false],
      ['1.0', ['Connection: Keep-Alive'], true],
      ['1.0', ['Connection: close', 'Connection: keep-alive'], false],
      ['1.1', ['Proxy-Connection: close'], true],
    ] as const) {
      const head = parsed('request', lines(`GET / HTTP/${version}`, HOST, ...fields));
      expect(head.keepAlive, `${version} ${fields.join()}`).to.equal(keepAlive);
      const response = parsed('response', lines(`HTTP/${version} 200 OK`, ...fields));
      expect(response.keepAlive).to.equal(keepAlive);
    }
  });

  it('hides the fields of the connection and those that Connection names', () => {
    const head = parsed(
      'request',
      lines(
        GET,
        HOST,
        'Connection: X-One, ,x-two;,te',
        'X-One: 1',
        'x-one: 2',
        'X-Two: 3',
        'X-Three: 4',
        'TE: trailers, deflate;q=0.5',
        'Keep-Alive: timeout=5',
        'Proxy-Connection: keep-alive',
        'Upgrade: h2c',
        'User-Agent: u',
      ),
    );
    expect(fieldsOf(head)).to.deep.equal([
      ['host', 'a'],
      ['x-three', '4'],
      ['user-agent', 'u'],
    ]);
    expect(head.acceptsTrailers).to.equal(true);
    expect(head.value('x-one')).to.equal(undefined);
  });

  it('refuses a Connection that names what is not its to remove, or too much', () => {
    for (const name of ['Host', 'content-length', 'AUTHORIZATION', 'cookie', 'x-forwarded-for'])
      expect(outcome('request', lines(GET, HOST, `Connection: close, ${name}`)), name).to.equal(
        'protectedFieldNominated',
      );
    const options = Array.from({ length: 17 }, (_, i) => `x${i}`);
    const connection = (count: number): string =>
      lines(GET, HOST, `Connection: ${options.slice(0, count).join(', ')}`);
    expect(outcome('request', connection(16))).to.equal('complete');
    expect(outcome('request', connection(17))).to.equal('tooManyConnectionOptions');
  });

  it('knows an upgrade to websocket, and no other', () => {
    expect(upgradeOf('Connection: Upgrade', 'Upgrade: WebSocket')).to.equal('websocket');
    expect(upgradeOf('Connection: keep-alive, upgrade', 'Upgrade: websocket')).to.equal(
      'websocket',
    );
    expect(upgradeOf('Upgrade: websocket'), 'not named by Connection').to.equal('');
    expect(upgradeOf('Connection: Upgrade')).to.equal('');
    expect(upgradeOf('Connection: Upgrade', 'Upgrade: h2c')).to.equal('');
    expect(upgradeOf('Connection: Upgrade', 'Upgrade: h2c, websocket')).to.equal('');
    const content = ['Connection: Upgrade', 'Upgrade: websocket', 'Content-Length: 3'];
    expect(upgradeOf(...content), 'with content').to.equal('');
    const old = lines('GET / HTTP/1.0', 'Connection: Upgrade', 'Upgrade: websocket');
    expect(parsed('request', old).upgrade, 'HTTP/1.0').to.equal('');
  });

  it('knows the one expectation, where there is content to wait with', () => {
    expect(expectsContinue('Expect: 100-Continue', 'Content-Length: 3')).to.equal(true);
    expect(expectsContinue('Expect: 100-continue', 'Transfer-Encoding: chunked')).to.equal(true);
    expect(expectsContinue('Expect: 100-continue')).to.equal(false);
    expect(outcome('request', lines(POST, HOST, 'Expect: 200-ok'))).to.equal(
      'unsupportedExpectation',
    );
    const old = lines('POST / HTTP/1.0', 'Expect: 100-continue', 'Content-Length: 3');
    expect(parsed('request', old).expectsContinue).to.equal(false);
  });
});

describe('judgeHead(), trailers', () => {
  it('hides what has no place in trailers, and refuses framing there', () => {
    const trailers = parsed('trailers', lines('X-Sum: 1', 'Authorization: x', 'grpc-status: 0'));
    expect(fieldsOf(trailers)).to.deep.equal([
      ['x-sum', '1'],
      ['grpc-status', '0'],
    ]);
    for (const name of ['Content-Length', 'transfer-encoding', 'HOST'])
      expect(outcome('trailers', lines(`${name}: 1`))).to.equal('forbiddenTrailer');
    expect(outcome('trailers', lines(' a: b'))).to.equal('obsoleteFold');
    expect(parsed('trailers', '\r\n').count).to.equal(0);
  });
});
