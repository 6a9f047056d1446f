import { readdirSync } from 'node:fs';

import { errno, errnoName, getrlimit, setrlimit } from './libc.ts';

/** How many descriptors the process may have. `Infinity` for no limit. */
export interface OpenFilesLimit {
  /** What is in force. */
  readonly soft: number;
  /** What `soft` may be raised to. */
  readonly hard: number;
}

const RLIMIT_NOFILE = 7;
const UNLIMITED = 0xffff_ffff_ffff_ffffn;

export function openFilesLimit(): OpenFilesLimit {
  const limits = Buffer.alloc(16);
  if (getrlimit(RLIMIT_NOFILE, limits) < 0) throw failed('read');
  return { soft: readLimit(limits, 0), hard: readLimit(limits, 8) };
}

/**
 * Raises the soft limit to the hard one: every proxied connection takes two descriptors. Node does the same
 * at its start today; this does not rely on it.
 */
export function raiseOpenFilesLimit(): OpenFilesLimit {
  const limits = Buffer.alloc(16);
  if (getrlimit(RLIMIT_NOFILE, limits) < 0) throw failed('read');
  limits.copy(limits, 0, 8, 16);
  if (setrlimit(RLIMIT_NOFILE, limits) < 0) throw failed('raise');
  return openFilesLimit();
}

/** Descriptors that the process has open now. Takes time in proportion: not for a hot path. */
export function countOpenFiles(): number {
  // The listing itself has one.
  return readdirSync('/proc/self/fd').length - 1;
}

function readLimit(limits: Buffer, at: number): number {
  const limit = limits.readBigUInt64LE(at);
  return limit === UNLIMITED ? Number.POSITIVE_INFINITY : Number(limit);
}

function failed(action: string): Error {
  return new Error(
    `Cannot ${action} the limit of open files (RLIMIT_NOFILE): ${errnoName(errno())}`,
  );
}
