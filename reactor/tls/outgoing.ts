import { allocateSlab, type Slab } from '../memory.ts';
import type { TlsBuffers } from './buffers.ts';
import type { Outbox } from './outbox.ts';
import {
  ALERT,
  APPLICATION_DATA,
  CONTENT_LENGTH_MAX,
  HANDSHAKE,
  MAX_SEALED_LENGTH,
  type RecordKeys,
} from './record.ts';

/** Room for a KeyUpdate and a full record. */
const STEP_ROOM = 2 * MAX_SEALED_LENGTH;
const LEVEL_WARNING = 1;
const LEVEL_FATAL = 2;
const KEY_UPDATE_NOT_REQUESTED = Uint8Array.of(24, 0, 0, 1, 0);

/** A control record's content, and the spare byte that sealing needs. Per thread, used within a call. */
const control = allocateSlab(8);

/** The writing half of an open connection: application bytes become records, keys are renewed in time. */
export class OutgoingRecords {
  readonly keys: RecordKeys;
  readonly recordsPerKeyMax: number;
  /**
   * The peer has asked for new keys. They come with the next application data: RFC 8446 section 4.6.3 wants
   * no more, and a peer that asks a thousand times gets one answer.
   */
  keyUpdateOwed = false;
  readonly #outbox: Outbox;
  readonly #buffers: TlsBuffers;

  constructor(keys: RecordKeys, recordsPerKeyMax: number, outbox: Outbox, buffers: TlsBuffers) {
    this.keys = keys;
    this.recordsPerKeyMax = recordsPerKeyMax;
    this.#outbox = outbox;
    this.#buffers = buffers;
  }

  /** Seals `slab.bytes[start, end)` and sends it; `slab.bytes[end]` must exist and is restored. */
  write(slab: Slab, start: number, end: number): void {
    const out = this.#buffers.ciphertextOut;
    let filled = 0;
    let at = start;
    while (at < end) {
      if (out.size - filled < STEP_ROOM) {
        this.#outbox.send(out, 0, filled);
        filled = 0;
      }
      if (this.keyUpdateOwed || this.keys.sequence >= this.recordsPerKeyMax - 1) {
        filled += this.#keyUpdate(out, filled);
      }
      const length = Math.min(CONTENT_LENGTH_MAX, end - at);
      filled += this.keys.seal(slab, at, length, APPLICATION_DATA, out, filled);
      at += length;
    }
    if (filled > 0) this.#outbox.send(out, 0, filled);
  }

  /** Sends an alert; `code` 0 is close_notify. */
  alert(code: number): void {
    const out = this.#buffers.ciphertextOut;
    this.#outbox.send(out, 0, sealAlert(this.keys, code, out));
  }

  #keyUpdate(out: Slab, at: number): number {
    this.keyUpdateOwed = false;
    control.bytes.set(KEY_UPDATE_NOT_REQUESTED);
    const length = KEY_UPDATE_NOT_REQUESTED.length;
    const sealed = this.keys.seal(control, 0, length, HANDSHAKE, out, at);
    this.keys.update();
    return sealed;
  }
}

/** An alert under `keys` at the beginning of `to`. Bytes written. */
export function sealAlert(keys: RecordKeys, code: number, to: Slab): number {
  control.bytes[0] = code === 0 ? LEVEL_WARNING : LEVEL_FATAL;
  control.bytes[1] = code;
  return keys.seal(control, 0, 2, ALERT, to, 0);
}
