import { closeSync, constants, openSync } from 'node:fs';
import { join } from 'node:path';

import { errno, errnoName, ioctlBuffer } from './libc.ts';

const TIOCGPTN = 0x80045430;
const TIOCSPTLCK = 0x40045431;
const TIOCSWINSZ = 0x5414;

/** A pseudo-terminal: what is written to one end is read at the other, with what a terminal does in between. */
export interface Pty {
  /** For who plays the terminal. */
  readonly master: number;
  /** For the program, as its standard input and output. */
  readonly slave: number;
}

/**
 * Opens a new pseudo-terminal. `ptmx` is the device that makes them, `/dev/ptmx` or that of another file system, and
 * `directory` has their other ends.
 *
 * @throws Error when there is none to be had
 */
export function openPty(ptmx: string, directory: string): Pty {
  const master = openSync(ptmx, constants.O_RDWR | constants.O_NOCTTY);
  try {
    const value = Buffer.alloc(4);
    check(ioctlBuffer(master, TIOCSPTLCK, value), 'unlock');
    check(ioctlBuffer(master, TIOCGPTN, value), 'number');
    const path = join(directory, String(value.readUInt32LE()));
    return { master, slave: openSync(path, constants.O_RDWR | constants.O_NOCTTY) };
  } catch (error) {
    closeSync(master);
    throw error;
  }
}

/** Says how large the terminal is; its programs hear of it by SIGWINCH. */
export function resizePty(master: number, columns: number, rows: number): void {
  const size = Buffer.alloc(8);
  size.writeUInt16LE(rows, 0);
  size.writeUInt16LE(columns, 2);
  // One that has gone has no size.
  ioctlBuffer(master, TIOCSWINSZ, size);
}

function check(result: number, what: string): void {
  if (result < 0) throw new Error(`Cannot ${what} a pseudo-terminal: ${errnoName(errno())}`);
}
