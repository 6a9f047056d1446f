import { invariant } from '#common/assert.ts';

import { addressOf, allocateSlab, type Slab, wipe } from '../memory.ts';
import {
  type CipherSuite,
  IV_LENGTH,
  KEY_LENGTH_MAX,
  nextTrafficSecret,
  SECRET_LENGTH_MAX,
  trafficKeys,
} from './key-schedule.ts';
import {
  ERR_clear_error,
  EVP_CIPHER_CTX_ctrl,
  EVP_CIPHER_CTX_free,
  EVP_CIPHER_CTX_new,
  EVP_CIPHER_fetch,
  EVP_CipherFinal_ex,
  EVP_CipherInit_ex,
  EVP_CipherUpdate,
} from './openssl.ts';

// Content types, RFC 8446 section 5.1.
export const ALERT = 21;
export const HANDSHAKE = 22;
export const APPLICATION_DATA = 23;

/** Bytes of `opaque_type`, `legacy_record_version` and `length`. */
export const HEADER_LENGTH = 5;
export const TAG_LENGTH = 16;
/** Content of one record, bytes (RFC 8446 section 5.1). */
export const CONTENT_LENGTH_MAX = 16_384;
/** `length` of a protected record, bytes (RFC 8446 section 5.2). */
export const CIPHERTEXT_LENGTH_MAX: number = CONTENT_LENGTH_MAX + 256;
/** The longest record that we send: header, content, its type, tag. */
export const MAX_SEALED_LENGTH: number = HEADER_LENGTH + CONTENT_LENGTH_MAX + 1 + TAG_LENGTH;

const EVP_CTRL_AEAD_GET_TAG = 0x10;
const EVP_CTRL_AEAD_SET_TAG = 0x11;
const NONCE_AT = SECRET_LENGTH_MAX;
const SEQUENCE_MAX = Number.MAX_SAFE_INTEGER;

/** EVP's cipher by name, fetched once per thread. */
const ciphers = new Map<string, number>();
const scratch = allocateSlab(KEY_LENGTH_MAX);
/** Where EVP writes how many bytes it has written; the record says the same. */
const written = allocateSlab(8);

/**
 * The protection of one direction (RFC 8446 section 5): traffic secret, nonce, sequence number, and an EVP
 * context that is made once. Invariant: a sequence number is used once per key, because every use adds one
 * and only a new key starts at 0 again.
 */
export class RecordKeys {
  readonly suite: CipherSuite;
  /** Number of the next record. */
  sequence: number;
  readonly #encrypt: boolean;
  /** Secret, then the nonce that EVP reads. */
  readonly #slab = allocateSlab(SECRET_LENGTH_MAX + IV_LENGTH + 4);
  readonly #nonceAt = addressOf(this.#slab, NONCE_AT, IV_LENGTH);
  #context: number;
  /** The last eight bytes of the IV, which the sequence number is added to. */
  #ivHigh = 0;
  #ivLow = 0;

  /** Copies `secret`, which the caller overwrites. `sequence` is not 0 when a connection goes on. */
  constructor(suite: CipherSuite, secret: Uint8Array, encrypt: boolean, sequence = 0) {
    invariant(
      secret.length === suite.hashLength,
      `a ${suite.name} secret of ${secret.length} bytes`,
    );
    invariant(Number.isSafeInteger(sequence) && sequence >= 0, 'a sequence number');
    this.suite = suite;
    this.sequence = sequence;
    this.#encrypt = encrypt;
    this.#slab.bytes.set(secret, 0);
    this.#context = EVP_CIPHER_CTX_new();
    invariant(this.#context !== 0, 'memory for a cipher context');
    this.#install();
  }

  /** A copy of the traffic secret. */
  secret(): Buffer {
    return Buffer.from(this.#slab.bytes.subarray(0, this.suite.hashLength));
  }

  /** The next generation of keys, after a KeyUpdate. */
  update(): void {
    const current = this.#slab.bytes.subarray(0, this.suite.hashLength);
    const next = nextTrafficSecret(this.suite, current);
    current.set(next);
    next.fill(0);
    this.sequence = 0;
    this.#install();
  }

  /** Overwrites everything; the object is of no use afterwards. */
  free(): void {
    if (this.#context === 0) return;
    EVP_CIPHER_CTX_free(this.#context);
    this.#context = 0;
    wipe(this.#slab);
    this.#ivHigh = 0;
    this.#ivLow = 0;
  }

  /**
   * Seals `length` bytes of `from` as one record of `type` into `to`. `from.bytes[start + length]` must
   * exist: the content type stands there for the time of the call. Bytes written.
   */
  seal(from: Slab, start: number, length: number, type: number, to: Slab, at: number): number {
    const inner = length + 1;
    const sealed = HEADER_LENGTH + inner + TAG_LENGTH;
    const source = addressOf(from, start, inner);
    const target = addressOf(to, at, sealed);
    const out = to.bytes;
    out[at] = APPLICATION_DATA;
    out[at + 1] = 3;
    out[at + 2] = 3;
    out[at + 3] = (inner + TAG_LENGTH) >> 8;
    out[at + 4] = inner + TAG_LENGTH;
    const last = start + length;
    const saved = from.bytes[last] as number;
    from.bytes[last] = type;
    this.#nextNonce();
    const body = target + HEADER_LENGTH;
    const context = this.#context;
    const writtenAt = addressOf(written, 0, 4);
    const done =
      EVP_CipherUpdate(context, 0, writtenAt, target, HEADER_LENGTH) === 1 &&
      EVP_CipherUpdate(context, body, writtenAt, source, inner) === 1 &&
      EVP_CipherFinal_ex(context, body + inner, writtenAt) === 1 &&
      EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, TAG_LENGTH, body + inner) === 1;
    from.bytes[last] = saved;
    invariant(done, 'a record can be sealed');
    return sealed;
  }

  /**
   * Opens the record whose header is at `from.bytes[at]` and whose `length` bytes follow it. What it held
   * (content, type, padding) is written to `to`. Its length, or -1 when the record is not genuine: then what
   * stands in `to` means nothing.
   */
  open(from: Slab, at: number, length: number, to: Slab, toAt: number): number {
    const inner = length - TAG_LENGTH;
    const header = addressOf(from, at, HEADER_LENGTH + length);
    const body = header + HEADER_LENGTH;
    const target = addressOf(to, toAt, inner);
    this.#nextNonce();
    const context = this.#context;
    const writtenAt = addressOf(written, 0, 4);
    const genuine =
      EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, TAG_LENGTH, body + inner) === 1 &&
      EVP_CipherUpdate(context, 0, writtenAt, header, HEADER_LENGTH) === 1 &&
      EVP_CipherUpdate(context, target, writtenAt, body, inner) === 1 &&
      EVP_CipherFinal_ex(context, target, writtenAt) === 1;
    if (genuine) return inner;
    // OpenSSL's errors are the thread's, and Node's own crypto would find this one.
    ERR_clear_error();
    return -1;
  }

  #install(): void {
    const { key, iv } = trafficKeys(
      this.suite,
      this.#slab.bytes.subarray(0, this.suite.hashLength),
    );
    key.copy(scratch.bytes);
    iv.copy(this.#slab.bytes, NONCE_AT);
    this.#ivHigh = iv.readUInt32BE(4);
    this.#ivLow = iv.readUInt32BE(8);
    const done = EVP_CipherInit_ex(
      this.#context,
      cipherOf(this.suite),
      0,
      addressOf(scratch, 0, key.length),
      this.#nonceAt,
      this.#encrypt ? 1 : 0,
    );
    key.fill(0);
    iv.fill(0);
    wipe(scratch);
    invariant(done === 1, `OpenSSL takes a key for ${this.suite.cipher}`);
    this.#setNonceHigh();
  }

  /** The IV with the sequence number added (RFC 8446 section 5.3), for EVP's next record. */
  #nextNonce(): void {
    invariant(this.#context !== 0 && this.sequence < SEQUENCE_MAX, 'keys that may be used');
    const low = this.sequence >>> 0;
    if (low === 0) this.#setNonceHigh();
    const word = this.#ivLow ^ low;
    const { bytes } = this.#slab;
    bytes[NONCE_AT + 8] = word >>> 24;
    bytes[NONCE_AT + 9] = word >>> 16;
    bytes[NONCE_AT + 10] = word >>> 8;
    bytes[NONCE_AT + 11] = word;
    this.sequence++;
    EVP_CipherInit_ex(this.#context, 0, 0, 0, this.#nonceAt, -1);
  }

  #setNonceHigh(): void {
    const high = Math.floor(this.sequence / 0x1_0000_0000);
    this.#slab.bytes.writeUInt32BE((this.#ivHigh ^ high) >>> 0, NONCE_AT + 4);
  }
}

function cipherOf(suite: CipherSuite): number {
  let cipher = ciphers.get(suite.cipher);
  if (cipher === undefined) {
    cipher = EVP_CIPHER_fetch(0, suite.cipher, null);
    invariant(cipher !== 0, `OpenSSL has ${suite.cipher}`);
    ciphers.set(suite.cipher, cipher);
  }
  return cipher;
}
