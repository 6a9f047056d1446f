import { createHmac } from 'node:crypto';

import { invariant } from '#common/assert.ts';

/** A cipher suite of TLS 1.3 (RFC 8446 appendix B.4). Lengths are bytes. */
export interface CipherSuite {
  readonly name:
    | 'TLS_AES_128_GCM_SHA256'
    | 'TLS_AES_256_GCM_SHA384'
    | 'TLS_CHACHA20_POLY1305_SHA256';
  /** The number on the wire. */
  readonly id: number;
  readonly hash: 'sha256' | 'sha384';
  /** Length of a traffic secret. */
  readonly hashLength: number;
  /** The cipher's name in OpenSSL. */
  readonly cipher: string;
  readonly keyLength: number;
}

export const cipherSuites: readonly CipherSuite[] = [
  {
    name: 'TLS_AES_128_GCM_SHA256',
    id: 0x1301,
    hash: 'sha256',
    hashLength: 32,
    cipher: 'AES-128-GCM',
    keyLength: 16,
  },
  {
    name: 'TLS_AES_256_GCM_SHA384',
    id: 0x1302,
    hash: 'sha384',
    hashLength: 48,
    cipher: 'AES-256-GCM',
    keyLength: 32,
  },
  {
    name: 'TLS_CHACHA20_POLY1305_SHA256',
    id: 0x1303,
    hash: 'sha256',
    hashLength: 32,
    cipher: 'ChaCha20-Poly1305',
    keyLength: 32,
  },
];

/** The nonce of every suite (RFC 8446 section 5.3), bytes. */
export const IV_LENGTH = 12;
/** The longest traffic secret, bytes. */
export const SECRET_LENGTH_MAX = 48;
/** The longest key, bytes. */
export const KEY_LENGTH_MAX = 32;

/** Key and nonce of one direction; whoever asked for them overwrites them after use. */
export interface TrafficKeys {
  readonly key: Buffer;
  readonly iv: Buffer;
}

export function cipherSuiteOf(id: number): CipherSuite | undefined {
  return cipherSuites.find((suite) => suite.id === id);
}

/** RFC 8446 section 7.3. */
export function trafficKeys(suite: CipherSuite, secret: Uint8Array): TrafficKeys {
  return {
    key: hkdfExpandLabel(suite.hash, secret, 'key', suite.keyLength),
    iv: hkdfExpandLabel(suite.hash, secret, 'iv', IV_LENGTH),
  };
}

/** The secret after a KeyUpdate, RFC 8446 section 7.2. */
export function nextTrafficSecret(suite: CipherSuite, secret: Uint8Array): Buffer {
  return hkdfExpandLabel(suite.hash, secret, 'traffic upd', suite.hashLength);
}

/**
 * HKDF-Expand-Label (RFC 8446 section 7.1) with an empty context. One block of the hash is enough for all
 * that the record layer derives.
 */
export function hkdfExpandLabel(
  hash: CipherSuite['hash'],
  secret: Uint8Array,
  label: string,
  length: number,
): Buffer {
  const block = createHmac(hash, secret).update(hkdfLabel(label, length)).digest();
  invariant(length <= block.length, `one block of ${hash} gives ${length} bytes`);
  const result = Buffer.from(block.subarray(0, length));
  block.fill(0);
  return result;
}

/** `struct { uint16 length; opaque label<7..255>; opaque context<0..255>; }` and HKDF's block number. */
function hkdfLabel(label: string, length: number): Buffer {
  const full = `tls13 ${label}`;
  const info = Buffer.alloc(2 + 1 + full.length + 1 + 1);
  info.writeUInt16BE(length, 0);
  info[2] = full.length;
  info.write(full, 3, 'latin1');
  info[info.length - 1] = 1;
  return info;
}
