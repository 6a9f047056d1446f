import { expect } from 'chai';
import { describe, it } from 'mocha';

import { FIELD_NAMES, FieldId, fieldIdAt, fieldIdOf } from '#codec/http1/field-id.ts';
import { Head } from '#codec/http1/head.ts';

import { lines, parsed } from './heads.ts';
import { fieldsOf } from './recorder.ts';

const HEAD = lines(
  'GET /x HTTP/1.1',
  'Host: a',
  'X-Role: user',
  'Accept: text/html',
  'COOKIE: a=1',
  'x-role: admin',
  'Set-Cookie: b=2',
  'accept: */*',
  'cookie: c=3',
  'Connection: x-secret',
  'X-Secret: 1',
);

describe('Head', () => {
  it('value() joins the lines of a field, so that no line of it goes unseen', () => {
    const head = parsed('request', HEAD);
    expect(head.value('x-role')).to.equal('user, admin');
    expect(head.value('accept')).to.equal('text/html, */*');
    expect(head.value('cookie')).to.equal('a=1; c=3');
    expect(head.value('x-other')).to.equal(undefined);
    expect(head.value('referer')).to.equal(undefined);
  });

  it('values() and has() see each line', () => {
    const head = parsed('request', HEAD);
    expect(head.values('x-role')).to.deep.equal(['user', 'admin']);
    expect(head.values('set-cookie')).to.deep.equal(['b=2']);
    expect(head.values('x-other')).to.deep.equal([]);
    expect([head.has('accept'), head.has('x-rol'), head.has('x-role')]).to.deep.equal([
      true,
      false,
      true,
    ]);
  });

  it('does not show what is not forwarded', () => {
    const head = parsed('request', HEAD);
    expect([head.has('x-secret'), head.has('connection')]).to.deep.equal([false, false]);
  });

  it('copyTo() outlives the bytes that were parsed', () => {
    const head = parsed('request', HEAD);
    const copy = new Head('request', 0);
    head.copyTo(copy);
    const before = [fieldsOf(head), head.target, head.path, head.authority, head.method];
    head.bytes.fill(0);
    expect([fieldsOf(copy), copy.target, copy.path, copy.authority, copy.method]).to.deep.equal(
      before,
    );
    expect(copy.bytes.toString('latin1', copy.start, copy.end)).to.equal(HEAD);
    expect(copy.value('x-role')).to.equal('user, admin');
  });

  it('copyTo() leaves nothing of an earlier head, be it longer or shorter', () => {
    const long = `GET / HTTP/1.1\r\nhost: a\r\n${'x-many: yes\r\n'.repeat(60)}cookie: ${'c'.repeat(6_000)}\r\n\r\n`;
    const short = 'PUT /b HTTP/1.0\r\nhost: b\r\nx-role: user\r\n\r\n';
    const copy = new Head('request', 0);
    for (const text of [short, long, short, HEAD, long, HEAD]) {
      const head = parsed('request', text);
      head.copyTo(copy);
      expect(fieldsOf(copy)).to.deep.equal(fieldsOf(head));
      expect([copy.method, copy.path, copy.authority, copy.minorVersion]).to.deep.equal([
        head.method,
        head.path,
        head.authority,
        head.minorVersion,
      ]);
      expect(copy.value('cookie')).to.equal(head.value('cookie'));
      expect(copy.has('x-many')).to.equal(head.has('x-many'));
      expect(copy.bytes.toString('latin1', copy.start, copy.end)).to.equal(text);
    }
  });

  it('copyTo() does not keep the memory of a large head', () => {
    const copy = new Head('request', 0);
    parsed('request', `GET / HTTP/1.1\r\nhost: a\r\nx: ${'y'.repeat(9_000)}\r\n\r\n`).copyTo(copy);
    expect(copy.bytes.length).to.be.above(9_000);
    parsed('request', HEAD).copyTo(copy);
    expect(copy.bytes.length).to.equal(1_024);
    const { bytes } = copy;
    parsed('request', HEAD).copyTo(copy);
    expect(copy.bytes).to.equal(bytes);
  });

  it('knows every well-known name in any case, and nothing that is like one', () => {
    for (const name of FIELD_NAMES.slice(1)) {
      const id = fieldIdOf(name);
      expect(id, name).not.to.equal(FieldId.other);
      for (const text of [name, name.toUpperCase(), name.replace(/^./, (x) => x.toUpperCase())])
        expect(fieldIdAt(Buffer.from(text), 0, text.length), text).to.equal(id);
      for (const text of [
        `${name}x`,
        name.slice(1),
        name.replace(/.$/, '~'),
        name.replace('-', '_'),
      ])
        if (!FIELD_NAMES.includes(text))
          expect(fieldIdAt(Buffer.from(text), 0, text.length), text).to.equal(FieldId.other);
    }
  });
});
