/** Descriptors that a table has room for; larger numbers are not noted. Linux's default for fs.nr_open. */
const DESCRIPTORS_MAX = 1_048_576;

/**
 * Which descriptors a thread has open, one bit each, in memory that outlives the thread: descriptors belong to
 * the process, and a listener of a dead thread would go on taking connections that nobody serves.
 */
export type OwnedDescriptors = SharedArrayBuffer;

let owned: Uint8Array | undefined;

export function allocateOwnedDescriptors(): OwnedDescriptors {
  return new SharedArrayBuffer(DESCRIPTORS_MAX / 8);
}

/** From now on {@link own} and {@link disown} of this thread write to `table`. Without one they do nothing. */
export function noteDescriptorsIn(table: OwnedDescriptors): void {
  owned = new Uint8Array(table);
}

/** The descriptor is this thread's until it is disowned; again is harmless. */
export function own(fd: number): void {
  if (owned !== undefined) note(owned, fd);
}

/**
 * The descriptor goes to the thread of `table`, which is told of it afterwards: if that thread ends before it has
 * heard, whoever cleans up behind it finds it.
 */
export function giveTo(table: OwnedDescriptors, fd: number): void {
  note(new Uint8Array(table), fd);
}

/** Two threads may write to one byte at the same time. */
function note(table: Uint8Array, fd: number): void {
  if (fd >= 0 && fd < DESCRIPTORS_MAX) Atomics.or(table, fd >> 3, 1 << (fd & 7));
}

/** Call it before the descriptor is closed: afterwards the number may be another thread's. */
export function disown(fd: number): void {
  if (owned === undefined || fd < 0 || fd >= DESCRIPTORS_MAX) return;
  Atomics.and(owned, fd >> 3, ~(1 << (fd & 7)));
}

/** Gives what a thread that has ended left open to `close`, once. How many that were. */
export function closeOwned(table: OwnedDescriptors, close: (fd: number) => void): number {
  const bytes = new Uint8Array(table);
  let count = 0;
  for (const [index, bits] of bytes.entries()) {
    if (bits === 0) continue;
    bytes[index] = 0;
    for (let bit = 0; bit < 8; bit++) {
      if ((bits & (1 << bit)) === 0) continue;
      close(index * 8 + bit);
      count++;
    }
  }
  return count;
}
