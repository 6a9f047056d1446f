import { invariant } from '#common/assert.ts';

import { addressOf, allocateSlab, copyFromForeign, type Slab } from '../memory.ts';
import { Alert, alertName } from './alert.ts';
import type { TlsContext } from './context.ts';
import { TrafficSecrets } from './key-log.ts';
import { type CipherSuite, cipherSuiteOf } from './key-schedule.ts';
import {
  BIO_free,
  BIO_new,
  BIO_read,
  BIO_s_mem,
  BIO_write,
  ERR_clear_error,
  ERR_get_error,
  ERR_reason_error_string,
  i2d_X509_bio,
  SSL_CIPHER_get_protocol_id,
  SSL_do_handshake,
  SSL_free,
  SSL_get_current_cipher,
  SSL_get_error,
  SSL_get_verify_result,
  SSL_get0_alpn_selected,
  SSL_get1_peer_certificate,
  SSL_has_pending,
  SSL_new,
  SSL_set_accept_state,
  SSL_set_bio,
  SSL_set_connect_state,
  X509_free,
  X509_verify_cert_error_string,
} from './openssl.ts';
import { type PeerCertificate, readPeerCertificate } from './peer-certificate.ts';

export type TlsRole = 'client' | 'server';

/** The handshake is over, and nobody has been told yet: a client's last flight is still here. */
export interface HandshakeDone {
  readonly kind: 'done';
  readonly suite: CipherSuite;
  readonly peer: PeerCertificate;
}

export type HandshakeStep =
  | { readonly kind: 'continue' }
  | HandshakeDone
  /** OpenSSL has refused the peer, and its alert is in the output; or we do, with `alert`. */
  | {
      readonly kind: 'failed';
      readonly code: string;
      readonly message: string;
      readonly alert?: Alert;
    }
  | { readonly kind: 'alert'; readonly code: number; readonly name: string };

const SSL_ERROR_WANT_READ = 2;
/** A reason from here on is an alert that the peer has sent. */
const ALERT_REASON = 1000;
const REASON_MASK = 0x7fffff;
/** Bytes; what a peer's chain may have, and the structure around it. */
const CERTIFICATE_LENGTH_MAX = 65_536;

/** Per thread, used within a call: an address and a length that OpenSSL writes, and what stands there. */
const alpn = allocateSlab(16);
const ALPN_LENGTH_AT = 8;
const ALPN_AT = 12;
const H2 = 'h2';
const certificateDer = allocateSlab(CERTIFICATE_LENGTH_MAX);

/** One handshake, done by OpenSSL over memory: bytes in, bytes out, then the keys. */
export class Handshake {
  readonly secrets: TrafficSecrets;
  readonly #ssl: number;
  readonly #in: number;
  readonly #out: number;
  #freed = false;

  constructor(context: TlsContext, role: TlsRole) {
    ERR_clear_error();
    this.#ssl = SSL_new(context.pointer);
    this.#in = BIO_new(BIO_s_mem());
    this.#out = BIO_new(BIO_s_mem());
    invariant(this.#ssl !== 0 && this.#in !== 0 && this.#out !== 0, 'memory for a handshake');
    SSL_set_bio(this.#ssl, this.#in, this.#out);
    if (role === 'server') SSL_set_accept_state(this.#ssl);
    else SSL_set_connect_state(this.#ssl);
    this.secrets = new TrafficSecrets(this.#ssl);
  }

  /** Hands over what the peer has sent. */
  receive(slab: Slab, start: number, length: number): void {
    const taken = BIO_write(this.#in, addressOf(slab, start, length), length);
    invariant(taken === length, 'memory for what a peer sends');
  }

  /** Goes on as far as it can. Call {@link takeOutput} afterwards, whatever the answer is. */
  step(): HandshakeStep {
    ERR_clear_error();
    const result = SSL_do_handshake(this.#ssl);
    try {
      if (result === 1) return this.#facts();
      if (SSL_get_error(this.#ssl, result) === SSL_ERROR_WANT_READ) return { kind: 'continue' };
      return this.#failure();
    } finally {
      // OpenSSL's errors belong to the thread; Node's own crypto shares it.
      ERR_clear_error();
    }
  }

  /** Moves what is to be sent into `slab`. Bytes; call again until it is 0. */
  takeOutput(slab: Slab): number {
    return drain(this.#out, slab);
  }

  /** After the end: what has come behind the peer's last flight, into `slab`. Bytes. */
  takeUnread(slab: Slab): number {
    return drain(this.#in, slab);
  }

  /** The suite that was agreed on; only after the end. */
  suite(): CipherSuite {
    const suite = cipherSuiteOf(SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(this.#ssl)));
    invariant(suite !== undefined, 'a suite that we have offered');
    return suite;
  }

  free(): void {
    if (this.#freed) return;
    this.#freed = true;
    this.secrets.free();
    SSL_free(this.#ssl);
    ERR_clear_error();
  }

  #facts(): HandshakeStep {
    // OpenSSL takes whole records out of the BIO; what it kept to itself would be lost.
    invariant(SSL_has_pending(this.#ssl) === 0, 'OpenSSL has read its own records only');
    if (!this.#speaksH2()) {
      return {
        kind: 'failed',
        code: 'TLS_NO_APPLICATION_PROTOCOL',
        message: 'The peer has not agreed to HTTP/2 (ALPN "h2")',
        alert: Alert.noApplicationProtocol,
      };
    }
    const read = readPeerCertificate(this.#peerCertificate());
    if (read.kind === 'certificate')
      return { kind: 'done', suite: this.suite(), peer: read.certificate };
    const { message } = read;
    return { kind: 'failed', code: 'TLS_BAD_CERTIFICATE', message, alert: Alert.badCertificate };
  }

  /** With no extension at all OpenSSL lets a handshake pass, in both roles. */
  #speaksH2(): boolean {
    const at = addressOf(alpn, 0, alpn.size);
    SSL_get0_alpn_selected(this.#ssl, at, at + ALPN_LENGTH_AT);
    const { bytes } = alpn;
    if (bytes.readUInt32LE(ALPN_LENGTH_AT) !== H2.length) return false;
    copyFromForeign(alpn, ALPN_AT, Number(bytes.readBigUInt64LE(0)), H2.length);
    return bytes.toString('latin1', ALPN_AT, ALPN_AT + H2.length) === H2;
  }

  /** DER, valid until the next handshake of this thread. */
  #peerCertificate(): Buffer {
    const certificate = SSL_get1_peer_certificate(this.#ssl);
    invariant(certificate !== 0, 'a verified peer has a certificate');
    const bio = BIO_new(BIO_s_mem());
    i2d_X509_bio(bio, certificate);
    X509_free(certificate);
    const length = drain(bio, certificateDer);
    BIO_free(bio);
    return certificateDer.bytes.subarray(0, length);
  }

  #failure(): HandshakeStep {
    const error = ERR_get_error();
    const reason = error & REASON_MASK;
    if (reason >= ALERT_REASON && reason < ALERT_REASON + 256) {
      const code = reason - ALERT_REASON;
      return { kind: 'alert', code, name: alertName(code) };
    }
    const verified = SSL_get_verify_result(this.#ssl);
    if (verified !== 0) {
      const why = X509_verify_cert_error_string(verified);
      const message = `The peer's certificate is refused: ${why}`;
      return { kind: 'failed', code: 'TLS_CERTIFICATE_REFUSED', message };
    }
    const why = ERR_reason_error_string(error) ?? 'unknown reason';
    return { kind: 'failed', code: 'TLS_HANDSHAKE_FAILED', message: `Handshake failed: ${why}` };
  }
}

function drain(bio: number, slab: Slab): number {
  const read = BIO_read(bio, addressOf(slab, 0, slab.size), slab.size);
  return Math.max(read, 0);
}
