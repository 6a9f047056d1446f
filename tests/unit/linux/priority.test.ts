import { readdirSync } from 'node:fs';
import { getPriority } from 'node:os';

import { expect } from 'chai';
import { afterEach, describe, it } from 'mocha';

import { getrlimit, setrlimit } from '#linux/libc.ts';
import { setThreadPriorities } from '#linux/priority.ts';

const RLIMIT_NOFILE = 7;

const priorities = (): readonly number[] =>
  readdirSync('/proc/self/task').map((thread) => getPriority(Number(thread)));

describe('setThreadPriorities()', () => {
  afterEach(() => {
    setThreadPriorities(0);
  });

  it('changes every thread and takes it back, or changes nothing', () => {
    const before = priorities();
    const allowed = setThreadPriorities(7);
    expect(new Set(priorities())).to.deep.equal(new Set(allowed ? [7] : before));
    setThreadPriorities(0);
    if (allowed) expect(new Set(priorities())).to.deep.equal(new Set([0]));
  });

  it('changes nothing, and says so, while there is no descriptor to look with', () => {
    const before = priorities();
    const limits = Buffer.alloc(16);
    getrlimit(RLIMIT_NOFILE, limits);
    const none = Buffer.from(limits);
    none.writeBigUInt64LE(0n, 0);
    setrlimit(RLIMIT_NOFILE, none);
    let changed: boolean;
    try {
      changed = setThreadPriorities(7);
    } finally {
      setrlimit(RLIMIT_NOFILE, limits);
    }
    expect(changed).to.equal(false);
    expect(priorities()).to.deep.equal(before);
  });
});
