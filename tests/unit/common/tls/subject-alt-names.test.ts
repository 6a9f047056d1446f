import { generateKeyPairSync } from 'node:crypto';

import { expect } from 'chai';
import { describe, it } from 'mocha';

import {
  type Der,
  encode,
  encoded,
  explicit,
  implicit,
  integer,
  objectIdentifier,
  octetString,
  sequence,
  time,
} from '#common/tls/der-writer.ts';
import { NAMES_MAX, readSubjectAltNames } from '#common/tls/subject-alt-names.ts';
import { signed, spki } from '#common/tls/x509-writer.ts';

const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const text = (value: string): Uint8Array => Buffer.from(value, 'latin1');
const uri = (value: string): Der => implicit(6, text(value));

/** A signed certificate with the given extensions; undefined: without any. */
function certificate(extensions: readonly Der[] | undefined): Uint8Array {
  return signed(
    sequence(
      explicit(0, integer(Uint8Array.of(2))),
      integer(Uint8Array.of(5)),
      sequence(objectIdentifier('1.2.840.10045.4.3.2')),
      sequence(),
      sequence(time(0), time(2 ** 40)),
      sequence(),
      encoded(spki(publicKey)),
      ...(extensions === undefined ? [] : [explicit(3, sequence(...extensions))]),
    ),
    privateKey,
  );
}

function names(...list: readonly Der[]): Der {
  return extension(encode(sequence(...list)));
}

function extension(bytes: Uint8Array): Der {
  return sequence(objectIdentifier('2.5.29.17'), octetString(bytes));
}

function read(...extensions: readonly Der[]): ReturnType<typeof readSubjectAltNames> {
  return readSubjectAltNames(certificate(extensions));
}

describe('readSubjectAltNames()', () => {
  const other = sequence(objectIdentifier('2.5.29.14'), octetString(text('x')));

  it('reads URIs and DNS names in order and passes over the other kinds', () => {
    const address = implicit(7, Uint8Array.of(10, 0, 0, 1));
    const otherName = explicit(
      0,
      objectIdentifier('1.2.3'),
      explicit(0, octetString(text('spiffe://x'))),
    );
    expect(
      read(
        other,
        names(otherName, uri('spiffe://b'), implicit(2, text('host')), address, uri('a:b')),
      ),
    ).to.deep.equal({ kind: 'names', uris: ['spiffe://b', 'a:b'], dns: ['host'] });
  });

  it('finds no names in a certificate without the extension, or without any', () => {
    const none = { kind: 'names', uris: [], dns: [] };
    expect(read(other)).to.deep.equal(none);
    expect(readSubjectAltNames(certificate(undefined))).to.deep.equal(none);
  });

  it('keeps commas and quotes inside one name', () => {
    const odd = 'spiffe://a/ns/b/sa/c,URI:spiffe://victim/ns/d/sa/"e"';
    expect(read(names(uri(odd)))).to.have.deep.property('uris', [odd]);
  });

  for (const [what, name] of [
    ['a NUL', 'spiffe://good/ns/a/sa/b\0.evil'],
    ['a byte above ASCII', 'spiffe://g\xf6od'],
    ['a line break', 'spiffe://good\n'],
    ['a space', 'spiffe://good /x'],
    ['nothing', ''],
  ] as const) {
    it(`refuses the whole certificate when a name holds ${what}`, () => {
      expect(read(names(uri('spiffe://fine'), uri(name)))).to.have.property('kind', 'refused');
      expect(read(names(implicit(2, text(name))))).to.have.property('kind', 'refused');
    });
  }

  it('refuses two extensions: which one would count?', () => {
    expect(read(names(uri('spiffe://a')), names(uri('spiffe://b')))).to.deep.equal({
      kind: 'refused',
      reason: 'Certificate has two subjectAltName extensions',
    });
  });

  it(`reads ${NAMES_MAX} names and refuses more`, () => {
    const many = Array.from({ length: NAMES_MAX }, (_, i) => uri(`spiffe://${i}`));
    expect(read(names(...many)))
      .to.have.property('uris')
      .with.length(NAMES_MAX);
    expect(read(names(...many, uri('spiffe://x')))).to.have.property('kind', 'refused');
  });

  it('refuses an extension value that is not DER or has bytes after it', () => {
    const good = encode(sequence(uri('a:b')));
    expect(read(extension(good))).to.have.property('kind', 'names');
    for (const bad of [
      Buffer.concat([good, Uint8Array.of(0)]),
      good.subarray(0, good.length - 1),
      // Indefinite length, and a length in more octets than needed.
      Uint8Array.of(0x30, 0x80, 0x86, 0x01, 0x61, 0x00, 0x00),
      Uint8Array.of(0x30, 0x81, 0x03, 0x86, 0x01, 0x61),
      text(''),
    ])
      expect(read(extension(bad)), Buffer.from(bad).toString('hex')).to.have.property(
        'kind',
        'refused',
      );
  });

  it('refuses what is cut off anywhere, and bytes after the certificate', () => {
    const whole = certificate([names(uri('spiffe://a'))]);
    for (let length = 0; length < whole.length; length++)
      expect(readSubjectAltNames(whole.subarray(0, length))).to.have.property('kind', 'refused');
    expect(readSubjectAltNames(Buffer.concat([whole, text('x')]))).to.have.property(
      'kind',
      'refused',
    );
  });
});
