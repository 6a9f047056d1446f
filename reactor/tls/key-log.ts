import { allocateSlab, copyForeignString, type Slab, wipe } from '../memory.ts';
import { SECRET_LENGTH_MAX } from './key-schedule.ts';

/** Which secrets of a handshake we need, by their names in a key log, and where they stand in its slab. */
const wanted = {
  clientHandshake: 'CLIENT_HANDSHAKE_TRAFFIC_SECRET',
  client: 'CLIENT_TRAFFIC_SECRET_0',
  server: 'SERVER_TRAFFIC_SECRET_0',
} as const;
export type SecretName = keyof typeof wanted;
const names = Object.keys(wanted) as SecretName[];
const labels = names.map((name) => Buffer.from(`${wanted[name]} `));

/** Label, client random, secret: 31 + 1 + 64 + 1 + 96. */
const line = allocateSlab(256);
const receivers = new Map<number, TrafficSecrets>();

/** The traffic secrets of one handshake, in memory that is overwritten when it is over. */
export class TrafficSecrets {
  readonly #slab: Slab = allocateSlab(names.length * SECRET_LENGTH_MAX);
  readonly #lengths = new Map<SecretName, number>();
  readonly #ssl: number;

  /** Takes what OpenSSL tells of `ssl` until it is {@link free}d. */
  constructor(ssl: number) {
    this.#ssl = ssl;
    receivers.set(ssl, this);
  }

  /** The bytes themselves, not a copy; undefined when OpenSSL has not told them. */
  get(name: SecretName): Buffer | undefined {
    const length = this.#lengths.get(name);
    if (length === undefined) return undefined;
    const start = names.indexOf(name) * SECRET_LENGTH_MAX;
    return this.#slab.bytes.subarray(start, start + length);
  }

  /** Reads the hexadecimal digits in `bytes[start, end)`. */
  set(name: SecretName, bytes: Buffer, start: number, end: number): void {
    const length = (end - start) / 2;
    if (!Number.isInteger(length) || length > SECRET_LENGTH_MAX) return;
    const to = names.indexOf(name) * SECRET_LENGTH_MAX;
    for (let index = 0; index < length; index++) {
      const high = digit(bytes[start + 2 * index] as number);
      const low = digit(bytes[start + 2 * index + 1] as number);
      this.#slab.bytes[to + index] = (high << 4) | low;
    }
    this.#lengths.set(name, length);
  }

  free(): void {
    receivers.delete(this.#ssl);
    this.#lengths.clear();
    wipe(this.#slab);
  }
}

/**
 * OpenSSL's key log, one callback per thread. It works on bytes only: a string with a secret could not be
 * overwritten.
 */
export function logTrafficSecret(ssl: number, foreign: number): void {
  const receiver = receivers.get(ssl);
  if (receiver === undefined) return;
  const length = copyForeignString(line, foreign);
  const { bytes } = line;
  for (const [index, label] of labels.entries()) {
    if (!bytes.subarray(0, label.length).equals(label)) continue;
    const start = bytes.indexOf(0x20, label.length) + 1;
    if (start > 0) receiver.set(names[index] as SecretName, bytes, start, length);
  }
  wipe(line);
}

function digit(character: number): number {
  return character <= 0x39 ? character - 0x30 : (character | 0x20) - 0x57;
}
