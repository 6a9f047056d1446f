import { invariant } from '#common/assert.ts';

import type { Slab } from '../memory.ts';
import { Alert } from './alert.ts';
import type { TlsBuffers } from './buffers.ts';
import { PostHandshakeReader, type PostHandshakeState } from './post-handshake.ts';
import {
  ALERT,
  APPLICATION_DATA,
  CIPHERTEXT_LENGTH_MAX,
  CONTENT_LENGTH_MAX,
  HANDSHAKE,
  HEADER_LENGTH,
  type RecordKeys,
  TAG_LENGTH,
} from './record.ts';

/** Why no more records are taken. `fault`: the peer broke the protocol and is told so with `alert`. */
export type IncomingEnd =
  | { readonly kind: 'close-notify' }
  | { readonly kind: 'alert'; readonly code: number }
  | {
      readonly kind: 'fault';
      readonly alert: Alert;
      readonly code: string;
      readonly message: string;
    };

/** What moves to another process along with the keys. */
export interface IncomingState {
  /** Received and not opened yet: part of a record, seldom more. */
  readonly received: Uint8Array;
  readonly emptyRecords: number;
  readonly postHandshake: PostHandshakeState;
}

/**
 * Records in a row without application data: empty ones, tickets, KeyUpdates, ignored alerts. Each costs
 * us more than the peer; servers send four tickets at most.
 */
const EMPTY_RECORDS_MAX = 32;

/** The reading half of an open connection: what a socket brought becomes application bytes. */
export class IncomingRecords {
  readonly keys: RecordKeys;
  /** Set once; afterwards nothing is opened any more. */
  end: IncomingEnd | undefined;
  /** The peer wants new keys from us. The reader of this field takes it back to false. */
  keyUpdateRequested = false;
  readonly #buffers: TlsBuffers;
  readonly #postHandshake: PostHandshakeReader;
  /** Received and not opened: less than one record, or more after the handshake and when paused. */
  #received: Buffer | undefined;
  #emptyRecords: number;

  constructor(keys: RecordKeys, peerIsServer: boolean, buffers: TlsBuffers, state?: IncomingState) {
    // So that the content of one read always fits, and its owner is called once.
    invariant(buffers.plaintext.size >= buffers.ciphertextIn.size, 'room for all plaintext');
    this.keys = keys;
    this.#buffers = buffers;
    this.#postHandshake = new PostHandshakeReader(peerIsServer, state?.postHandshake);
    this.#emptyRecords = state?.emptyRecords ?? 0;
    if (state !== undefined && state.received.length > 0) this.keep(state.received);
  }

  /** Is there a whole record that waits for {@link open}? */
  get ready(): boolean {
    const received = this.#received;
    if (received === undefined || received.length < HEADER_LENGTH || this.end !== undefined) {
      return false;
    }
    const length = received.readUInt16BE(3);
    // One that is too long is ready to be refused.
    return length > CIPHERTEXT_LENGTH_MAX || received.length >= HEADER_LENGTH + length;
  }

  /** Has the stream stopped inside a record? */
  get inRecord(): boolean {
    return this.#received !== undefined;
  }

  /** Keeps a copy of bytes to be opened before those that a socket brings next. */
  keep(bytes: Uint8Array): void {
    this.#received = Buffer.from(bytes);
  }

  /** Copies what is kept to the beginning of `ciphertextIn`. Bytes copied; the next read goes behind them. */
  lay(): number {
    if (this.#received === undefined) return 0;
    this.#received.copy(this.#buffers.ciphertextIn.bytes);
    return this.#received.length;
  }

  /**
   * Opens the records in the first `length` bytes of `ciphertextIn` into the plaintext slab, from its
   * beginning, and keeps what is left of them. Bytes of application data. {@link end} and
   * {@link keyUpdateRequested} say what else was met; the application data came before.
   */
  open(length: number): number {
    const { ciphertextIn: from, plaintext } = this.#buffers;
    const { bytes } = from;
    this.#received = undefined;
    let at = 0;
    let filled = 0;
    while (length - at >= HEADER_LENGTH) {
      const body = ((bytes[at + 3] as number) << 8) | (bytes[at + 4] as number);
      if (!this.#acceptable(bytes[at] as number, body)) return filled;
      const size = HEADER_LENGTH + body;
      if (length - at < size) break;
      const inner = this.keys.open(from, at, body, plaintext, filled);
      if (inner < 0) {
        this.#refuse(Alert.badRecordMac, 'TLS_BAD_RECORD_MAC', 'a record that is not genuine');
        return filled;
      }
      filled += this.#content(plaintext, filled, inner);
      if (this.end !== undefined) return filled;
      at += size;
    }
    if (at < length) this.keep(bytes.subarray(at, length));
    return filled;
  }

  export(): IncomingState {
    return {
      received: Uint8Array.from(this.#received ?? []),
      emptyRecords: this.#emptyRecords,
      postHandshake: this.#postHandshake.export(),
    };
  }

  /** Checks a header before its body has arrived. */
  #acceptable(type: number, length: number): boolean {
    if (type !== APPLICATION_DATA) {
      // ChangeCipherSpec, too, is legal only before the peer's Finished (RFC 8446 section 5).
      this.#refuse(
        Alert.unexpectedMessage,
        'TLS_UNEXPECTED_RECORD',
        `an open record of type ${type}`,
      );
      return false;
    }
    if (length > CIPHERTEXT_LENGTH_MAX) {
      this.#refuse(Alert.recordOverflow, 'TLS_RECORD_OVERFLOW', `a record of ${length} bytes`);
      return false;
    }
    if (length <= TAG_LENGTH) {
      // It cannot hold a content type, whatever its tag says.
      this.#refuse(Alert.badRecordMac, 'TLS_BAD_RECORD_MAC', `a record of ${length} bytes`);
      return false;
    }
    return true;
  }

  /** Takes a record that was opened to `slab[start, start + inner)`. Bytes of application data in it. */
  #content(slab: Slab, start: number, inner: number): number {
    const { bytes } = slab;
    if (inner > CONTENT_LENGTH_MAX + 1) {
      this.#refuse(Alert.recordOverflow, 'TLS_RECORD_OVERFLOW', `${inner} bytes in one record`);
      return 0;
    }
    let last = start + inner - 1;
    while (last >= start && bytes[last] === 0) last--;
    const type = last >= start ? bytes[last] : undefined;
    const length = last - start;
    if (type === APPLICATION_DATA && length > 0) {
      if (this.#postHandshake.inMessage) {
        this.#refuse(
          Alert.unexpectedMessage,
          'TLS_UNEXPECTED_RECORD',
          'application data inside a handshake message',
        );
        return 0;
      }
      this.#emptyRecords = 0;
      return length;
    }
    this.#other(type, bytes, start, last);
    return 0;
  }

  #other(type: number | undefined, bytes: Uint8Array, start: number, end: number): void {
    if (++this.#emptyRecords > EMPTY_RECORDS_MAX) {
      this.#refuse(
        Alert.unexpectedMessage,
        'TLS_EMPTY_RECORDS',
        `more than ${EMPTY_RECORDS_MAX} records in a row without application data`,
      );
    } else if (type === HANDSHAKE && end > start) {
      this.#handshake(bytes, start, end);
    } else if (type === ALERT && end > start) {
      this.#alert(bytes, start, end);
    } else if (type !== APPLICATION_DATA || this.#postHandshake.inMessage) {
      const what = type === undefined ? 'nothing but padding' : `content of type ${type}`;
      this.#refuse(Alert.unexpectedMessage, 'TLS_UNEXPECTED_RECORD', `a record with ${what}`);
    }
  }

  #alert(bytes: Uint8Array, start: number, end: number): void {
    if (end - start !== 2) {
      this.#refuse(Alert.decodeError, 'TLS_DECODE_ERROR', `an alert of ${end - start} bytes`);
      return;
    }
    // The level says nothing in TLS 1.3 (RFC 8446 section 6).
    const code = bytes[start + 1] as number;
    if (code === Alert.closeNotify) this.end = { kind: 'close-notify' };
    else if (code !== Alert.userCanceled) this.end = { kind: 'alert', code };
  }

  #handshake(bytes: Uint8Array, start: number, end: number): void {
    const result = this.#postHandshake.take(bytes, start, end);
    if (result.kind === 'key-update') {
      this.keys.update();
      if (result.requested) this.keyUpdateRequested = true;
    } else if (result.kind === 'refused') {
      if (result.why === 'unexpected') {
        this.#refuse(Alert.unexpectedMessage, 'TLS_UNEXPECTED_MESSAGE', result.message);
      } else if (result.why === 'illegal') {
        this.#refuse(Alert.illegalParameter, 'TLS_ILLEGAL_PARAMETER', result.message);
      } else {
        this.#refuse(Alert.decodeError, 'TLS_DECODE_ERROR', result.message);
      }
    }
  }

  #refuse(alert: Alert, code: string, what: string): void {
    this.end = { kind: 'fault', alert, code, message: `The peer sent ${what}` };
  }
}
