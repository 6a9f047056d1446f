import { fstatSync, readSync, writeSync } from 'node:fs';

import { close, errno, errnoName, fcntl, memfdCreate } from './libc.ts';

const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const F_ADD_SEALS = 1033;
const F_GET_SEALS = 1034;
// No further seals, no shrinking, no growing, no writing.
const SEALS = 1 | 2 | 4 | 8;

/**
 * Puts `bytes` into a file without a name, which other processes can be given with one descriptor and read
 * with {@link readMemfd}. Sealed: nobody can change it any more. `name` is for `/proc` only. The descriptor is
 * the caller's. Throws when the kernel has no memory for it.
 */
export function createMemfd(name: string, bytes: Uint8Array): number {
  const fd = memfdCreate(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) throw new Error(`Cannot create a memory file (memfd_create): ${errnoName(errno())}`);
  try {
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at, at);
    if (fcntl(fd, F_ADD_SEALS, SEALS) < 0) {
      throw new Error(`Cannot seal a memory file: ${errnoName(errno())}`);
    }
  } catch (error) {
    close(fd);
    throw error;
  }
  return fd;
}

/**
 * All of a sealed memory file, from its start. The text says why it is refused: it is longer than `maxBytes`,
 * or its sender could still change it.
 */
export function readMemfd(fd: number, maxBytes: number): Uint8Array | string {
  const seals = fcntl(fd, F_GET_SEALS, 0);
  if (seals < 0) return `Cannot read the memory file: ${errnoName(errno())}`;
  if ((seals & SEALS) !== SEALS) return 'Cannot read the memory file: it is not sealed';
  const { size } = fstatSync(fd);
  if (size > maxBytes) return `Cannot read the memory file: it has ${size} bytes, want ${maxBytes}`;
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size; ) {
    const read = readSync(fd, bytes, at, size - at, at);
    if (read === 0) return `Cannot read the memory file: it ends at ${at} of ${size} bytes`;
    at += read;
  }
  return bytes;
}
