import { expect } from 'chai';
import { describe, it } from 'mocha';

import { FIELDS_MAX } from '#codec/http1/head.ts';

import { lines, outcome, parsed } from './heads.ts';
import { fieldsOf } from './recorder.ts';

const GET = 'GET / HTTP/1.1';
const HOST = 'Host: a';

describe('parseHead()', () => {
  it('finds method, target, version and fields of a request', () => {
    const head = parsed(
      'request',
      lines('POST /a?b HTTP/1.1', 'Host: a.example:80', 'X-Y:\t one two \t', 'empty:', 'z: \xe9'),
    );
    expect([head.method, head.target, head.minorVersion]).to.deep.equal(['POST', '/a?b', 1]);
    expect(fieldsOf(head)).to.deep.equal([
      ['host', 'a.example:80'],
      ['x-y', 'one two'],
      ['empty', ''],
      ['z', '\xe9'],
    ]);
  });

  it('finds version, status and reason of a response', () => {
    for (const [line, minor, status, reason] of [
      ['HTTP/1.1 200 OK', 1, 200, 'OK'],
      ['HTTP/1.0 404 Not Found', 0, 404, 'Not Found'],
      ['HTTP/1.1 204 ', 1, 204, ''],
      ['HTTP/1.1 599', 1, 599, ''],
      ['HTTP/1.1 999 \xfcber\tall', 1, 999, '\xfcber\tall'],
    ] as const) {
      const head = parsed('response', lines(line));
      expect([head.minorVersion, head.status, head.reason]).to.deep.equal([minor, status, reason]);
    }
  });

  it('takes any token as a method, and keeps its case', () => {
    for (const method of ['GET', 'get', 'PURGE', 'M-SEARCH', 'PATCH', "!#$%&'*+-.^_`|~0"])
      expect(parsed('request', lines(`${method} / HTTP/1.1`, HOST)).method).to.equal(method);
  });

  it('skips empty lines before a request, and only there', () => {
    const text = `\r\n\r\n${lines(GET, HOST)}`;
    expect(parsed('request', text).method).to.equal('GET');
    expect(outcome('response', `\r\n${lines('HTTP/1.1 200 OK')}`)).to.equal('malformedStatusLine');
  });

  it('waits for the empty line', () => {
    const text = lines(GET, HOST, 'a: b');
    for (let length = 0; length < text.length; length++)
      expect(outcome('request', text.slice(0, length)), `${length} bytes`).to.equal('incomplete');
    expect(outcome('request', text)).to.equal('complete');
  });

  it('refuses a request line that is not exactly method, target and version', () => {
    for (const [line, fault] of [
      ['GET /', 'malformedRequestLine'],
      ['GET', 'invalidMethod'],
      ['GET  / HTTP/1.1', 'malformedRequestLine'],
      ['GET /  HTTP/1.1', 'malformedRequestLine'],
      ['GET / HTTP/1.1 ', 'malformedRequestLine'],
      ['GET / HTTP/1.1x', 'malformedRequestLine'],
      ['GET /a b HTTP/1.1', 'malformedRequestLine'],
      ['GET / http/1.1', 'malformedRequestLine'],
      ['GET / HTTP/11', 'malformedRequestLine'],
      ['GET\t/\tHTTP/1.1', 'invalidMethod'],
      [' GET / HTTP/1.1', 'invalidMethod'],
      ['G(T / HTTP/1.1', 'invalidMethod'],
      ['GET\x80 / HTTP/1.1', 'invalidMethod'],
      ['GET /a\x01 HTTP/1.1', 'invalidTarget'],
      ['GET /a\x7f HTTP/1.1', 'invalidTarget'],
      ['GET /a#b HTTP/1.1', 'invalidTarget'],
      ['GET a HTTP/1.1', 'invalidTarget'],
      ['GET * HTTP/1.1', 'invalidTarget'],
      ['GET / HTTP/2.0', 'unsupportedVersion'],
      ['GET / HTTP/1.2', 'unsupportedVersion'],
      ['GET / HTTP/0.9', 'unsupportedVersion'],
      ['PRI * HTTP/2.0', 'unsupportedVersion'],
    ] as const)
      expect(outcome('request', lines(line, HOST)), line).to.equal(fault);
  });

  it('refuses a status line that is not version, three digits and reason', () => {
    for (const [line, fault] of [
      ['HTTP/1.1  200 OK', 'malformedStatusLine'],
      ['HTTP/1.1 20 OK', 'malformedStatusLine'],
      ['HTTP/1.1 099 OK', 'malformedStatusLine'],
      ['HTTP/1.1 2000 OK', 'malformedStatusLine'],
      ['HTTP/1.1 2x0 OK', 'malformedStatusLine'],
      ['HTTP/1.1 200 O\x01K', 'malformedStatusLine'],
      ['HTTP/2.0 200 OK', 'unsupportedVersion'],
      ['ICY 200 OK', 'malformedStatusLine'],
    ] as const)
      expect(outcome('response', lines(line)), line).to.equal(fault);
  });

  it('refuses what is no field line', () => {
    for (const [line, fault] of [
      ['a : b', 'whitespaceBeforeColon'],
      ['a\t: b', 'whitespaceBeforeColon'],
      [': b', 'invalidFieldName'],
      ['a', 'invalidFieldName'],
      ['a b: c', 'invalidFieldName'],
      ['a\xe9: b', 'invalidFieldName'],
      ['a(: b', 'invalidFieldName'],
      ['a: b\x01', 'invalidFieldValue'],
      ['a: \x7f', 'invalidFieldValue'],
      ['a: b\0', 'nulByte'],
      ['a\0: b', 'nulByte'],
      ['a: b\rc: d', 'bareCarriageReturn'],
      ['a: b\r\r', 'bareCarriageReturn'],
      ['\ra: b', 'bareCarriageReturn'],
      ['a: b\nc: d', 'bareLineFeed'],
      ['\n', 'bareLineFeed'],
      [' folded', 'obsoleteFold'],
      ['\tfolded: b', 'obsoleteFold'],
    ] as const) {
      expect(outcome('request', lines(GET, HOST, line)), line).to.equal(fault);
      expect(outcome('response', lines('HTTP/1.1 200 OK', line)), line).to.equal(fault);
    }
  });

  it('refuses a bare LF and a bare CR in the start line, and at the end', () => {
    expect(outcome('request', 'GET / HTTP/1.1\nHost: a\n\n')).to.equal('bareLineFeed');
    expect(outcome('request', 'GET /\r HTTP/1.1\r\n\r\n')).to.equal('bareCarriageReturn');
    expect(outcome('request', 'GET / HTTP/1.1\r\nHost: a\r\n\n')).to.equal('bareLineFeed');
    expect(outcome('request', '\nGET / HTTP/1.1\r\n')).to.equal('bareLineFeed');
  });

  it('judges a line only when it is complete', () => {
    for (const line of ['a : b', 'a: \0', ' x', 'a: b\rc', '(: '])
      expect(outcome('request', `${GET}\r\n${HOST}\r\n${line}`), line).to.equal('incomplete');
  });

  it(`takes ${FIELDS_MAX} fields and no more`, () => {
    const fields = Array.from({ length: FIELDS_MAX }, (_, i) => `x-${i}: ${i}`);
    expect(parsed('request', lines(GET, HOST, ...fields.slice(1))).count).to.equal(FIELDS_MAX);
    expect(outcome('request', lines(GET, HOST, ...fields))).to.equal('tooManyFields');
  });
});
