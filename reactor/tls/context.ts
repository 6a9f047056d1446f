import { invariant } from '#common/assert.ts';

import { addressOf, allocateSlab, copyFromForeign, copyToForeign, wipe } from '../memory.ts';
import { logTrafficSecret } from './key-log.ts';
import {
  BIO_free,
  BIO_new_mem_buf,
  ERR_clear_error,
  ERR_get_error,
  ERR_reason_error_string,
  EVP_PKEY_free,
  PEM_read_bio_PrivateKey,
  PEM_read_bio_X509,
  registerAlpnSelect,
  registerKeyLog,
  SSL_CTX_check_private_key,
  SSL_CTX_ctrl,
  SSL_CTX_free,
  SSL_CTX_get_cert_store,
  SSL_CTX_new,
  SSL_CTX_set_alpn_protos,
  SSL_CTX_set_alpn_select_cb,
  SSL_CTX_set_ciphersuites,
  SSL_CTX_set_keylog_callback,
  SSL_CTX_set_num_tickets,
  SSL_CTX_set_options,
  SSL_CTX_set_security_level,
  SSL_CTX_set_verify,
  SSL_CTX_use_certificate,
  SSL_CTX_use_PrivateKey,
  TLS_method,
  X509_free,
  X509_STORE_add_cert,
} from './openssl.ts';

/** Who we are, and whom we trust. */
export interface TlsMaterial {
  /** Our certificate, then the intermediate ones; the root is not sent. */
  readonly chainPem: readonly string[];
  /** PKCS#8, not encrypted. */
  readonly privateKeyPem: string;
  /** The only certificates that a peer's chain may end in. */
  readonly rootsPem: string;
}

export interface TlsContextOptions {
  /** Records that are sent under one key, its KeyUpdate included. 2 to 2^24, the default. */
  readonly recordsPerKeyMax?: number;
}

/** AES-GCM keeps its margin up to 2^24.5 full records (RFC 8446 section 5.5). */
const RECORDS_PER_KEY_MAX = 2 ** 24;
/** AES-128 first: sealing costs 5 to 8 % less than with AES-256, and nothing else here is stronger. */
const CIPHER_SUITES = 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256';
/** X25519 first: a client's first guess. ML-KEM costs a fifth more and 2 KiB; peers that insist get it. */
const GROUPS = 'X25519:P-256:P-384:X25519MLKEM768';
/** Bytes of certificates that a peer may send; a chain of four with RSA keys has 8 KiB. */
const PEER_CHAIN_LENGTH_MAX = 65_536;
/** 112 bits of security: RSA from 2,048 bits, no SHA-1. */
const SECURITY_LEVEL = 2;

// Commands of SSL_CTX_ctrl, whose macros are no symbols.
const SET_MODE = 33;
const SET_SESSION_CACHE_MODE = 44;
const SET_MAX_CERT_LIST = 51;
const ADD_CHAIN_CERTIFICATE = 89;
const SET_GROUPS_LIST = 92;
const SET_MIN_PROTO_VERSION = 123;
const SET_MAX_PROTO_VERSION = 124;
const TLS1_3 = 0x0304;
/** No chain is made up from the roots; buffers are given back between records. */
const MODE = 0x8 | 0x10;
/**
 * No tickets, no compression, our order of suites, no renegotiation; and certificates that are not compressed
 * in either direction (RFC 8879): it would take half of a handshake's time to save some hundred bytes.
 */
const OPTIONS = 2 ** 14 + 2 ** 17 + 2 ** 22 + 2 ** 30 + 2 ** 32 + 2 ** 33;
/** The peer's certificate is wanted, and without one the handshake fails. */
const VERIFY_ALWAYS = 1 | 2;

const ALPN_CHOSEN = 0;
const ALPN_REFUSED = 2;
const PEM_NO_START_LINE = 108;
const REASON_MASK = 0x7fffff;

/** ALPN's list of one protocol; the protocol itself begins at 1. */
const h2 = allocateSlab(3);
h2.bytes.set([2, 0x68, 0x32]);
const noPassword = allocateSlab(1);
/** What the select callback writes for OpenSSL: the protocol's address and its length. */
const chosen = allocateSlab(16);
chosen.bytes.writeBigUInt64LE(BigInt(addressOf(h2, 1, 2)), 0);
chosen.bytes[8] = 2;

let callbacks: { readonly keyLog: bigint; readonly alpnSelect: bigint } | undefined;

/** One `SSL_CTX` for both roles: TLS 1.3, HTTP/2, certificates on both sides, no resumption. */
export class TlsContext {
  readonly recordsPerKeyMax: number;
  #context: number;
  #users = 0;
  #freeAsked = false;

  /** Throws an Error that says which part of the material cannot be used. */
  constructor(material: TlsMaterial, options: TlsContextOptions = {}) {
    this.recordsPerKeyMax = options.recordsPerKeyMax ?? RECORDS_PER_KEY_MAX;
    invariant(
      this.recordsPerKeyMax >= 2 && this.recordsPerKeyMax <= RECORDS_PER_KEY_MAX,
      `2 to ${RECORDS_PER_KEY_MAX} records per key, not ${this.recordsPerKeyMax}`,
    );
    ERR_clear_error();
    this.#context = SSL_CTX_new(TLS_method());
    invariant(this.#context !== 0, 'memory for a TLS context');
    try {
      configure(this.#context);
      useMaterial(this.#context, material);
    } catch (error) {
      this.free();
      throw error;
    } finally {
      ERR_clear_error();
    }
  }

  /** The `SSL_CTX`. */
  get pointer(): number {
    invariant(this.#context !== 0, 'a TLS context is used before it is freed');
    return this.#context;
  }

  /** Keeps the context alive for a handshake that has not begun; give it back with {@link release}. */
  retain(): void {
    invariant(!this.#freeAsked, 'a TLS context is used before it is freed');
    this.#users++;
  }

  release(): void {
    this.#users--;
    if (this.#freeAsked && this.#users === 0) this.#free();
  }

  /** No new connection uses it; those whose handshake is under way keep what they need. */
  free(): void {
    this.#freeAsked = true;
    if (this.#users === 0) this.#free();
  }

  #free(): void {
    if (this.#context === 0) return;
    SSL_CTX_free(this.#context);
    this.#context = 0;
  }
}

function configure(context: number): void {
  callbacks ??= {
    keyLog: registerKeyLog(logTrafficSecret),
    alpnSelect: registerAlpnSelect(selectProtocol),
  };
  const done =
    SSL_CTX_ctrl(context, SET_MIN_PROTO_VERSION, TLS1_3, 0) === 1 &&
    SSL_CTX_ctrl(context, SET_MAX_PROTO_VERSION, TLS1_3, 0) === 1 &&
    withText(GROUPS, (at) => SSL_CTX_ctrl(context, SET_GROUPS_LIST, 0, at)) === 1 &&
    SSL_CTX_set_ciphersuites(context, CIPHER_SUITES) === 1 &&
    SSL_CTX_set_num_tickets(context, 0) === 1 &&
    SSL_CTX_set_alpn_protos(context, addressOf(h2, 0, 3), 3) === 0;
  invariant(done, `OpenSSL takes our settings (${reason()})`);
  SSL_CTX_ctrl(context, SET_MODE, MODE, 0);
  SSL_CTX_ctrl(context, SET_SESSION_CACHE_MODE, 0, 0);
  SSL_CTX_ctrl(context, SET_MAX_CERT_LIST, PEER_CHAIN_LENGTH_MAX, 0);
  SSL_CTX_set_options(context, OPTIONS);
  SSL_CTX_set_security_level(context, SECURITY_LEVEL);
  SSL_CTX_set_verify(context, VERIFY_ALWAYS, 0);
  SSL_CTX_set_alpn_select_cb(context, callbacks.alpnSelect, 0);
  SSL_CTX_set_keylog_callback(context, callbacks.keyLog);
}

function useMaterial(context: number, material: TlsMaterial): void {
  let leaf = true;
  readCertificates('certificate chain', material.chainPem.join('\n'), (certificate) => {
    const used = leaf
      ? SSL_CTX_use_certificate(context, certificate)
      : SSL_CTX_ctrl(context, ADD_CHAIN_CERTIFICATE, 1, certificate);
    leaf = false;
    return used === 1;
  });
  useKey(context, material.privateKeyPem);
  const store = SSL_CTX_get_cert_store(context);
  readCertificates('roots', material.rootsPem, (root) => X509_STORE_add_cert(store, root) === 1);
}

function useKey(context: number, pem: string): void {
  const key = withText(pem, (at, length) => {
    const bio = BIO_new_mem_buf(at, length);
    // Without a password OpenSSL would ask on the terminal for that of an encrypted key.
    const read = PEM_read_bio_PrivateKey(bio, 0, 0, addressOf(noPassword, 0, 1));
    BIO_free(bio);
    return read;
  });
  if (key === 0) throw new Error(`Cannot read the private key (${reason()}): want PKCS#8 in PEM`);
  const used = SSL_CTX_use_PrivateKey(context, key) === 1;
  EVP_PKEY_free(key);
  if (!used || SSL_CTX_check_private_key(context) !== 1) {
    throw new Error(`Cannot use the private key (${reason()}): want that of the first certificate`);
  }
}

/** Calls `use` with each certificate of `pem`, which must have one at least. */
function readCertificates(what: string, pem: string, use: (certificate: number) => boolean): void {
  withText(pem, (at, length) => {
    const bio = BIO_new_mem_buf(at, length);
    try {
      for (let count = 0; ; count++) {
        const certificate = PEM_read_bio_X509(bio, 0, 0, 0);
        if (certificate === 0) {
          const error = ERR_get_error();
          if (count > 0 && (error & REASON_MASK) === PEM_NO_START_LINE) return;
          const why = ERR_reason_error_string(error) ?? 'unknown';
          throw new Error(`Cannot read certificate ${count + 1} of the ${what} (${why}): want PEM`);
        }
        const used = use(certificate);
        X509_free(certificate);
        if (!used) {
          throw new Error(`Cannot use certificate ${count + 1} of the ${what} (${reason()})`);
        }
      }
    } finally {
      BIO_free(bio);
    }
  });
}

/** Called by OpenSSL in a server's handshake when the client offers protocols (RFC 7301). */
function selectProtocol(
  _ssl: number,
  out: number,
  outLength: number,
  offered: number,
  length: number,
): number {
  if (!offersH2(offered, length)) return ALPN_REFUSED;
  copyToForeign(out, chosen, 0, 8);
  copyToForeign(outLength, chosen, 8, 1);
  return ALPN_CHOSEN;
}

function offersH2(offered: number, length: number): boolean {
  const list = allocateSlab(Math.max(length, 1));
  copyFromForeign(list, 0, offered, length);
  for (let at = 0; at < length; at += 1 + (list.bytes[at] as number)) {
    if (list.bytes.subarray(at, at + 3).equals(h2.bytes)) return true;
  }
  return false;
}

/** Lends `value` as a C string of `length` bytes at an address, and overwrites it afterwards. */
function withText<T>(value: string, use: (at: number, length: number) => T): T {
  const length = Buffer.byteLength(value);
  const slab = allocateSlab(length + 1);
  slab.bytes.write(value, 0);
  try {
    return use(addressOf(slab, 0, slab.size), length);
  } finally {
    wipe(slab);
  }
}

function reason(): string {
  return ERR_reason_error_string(ERR_get_error()) ?? 'unknown';
}
