import { readdirSync } from 'node:fs';
import { getPriority } from 'node:os';

import { expect } from 'chai';
import { afterEach, describe, it } from 'mocha';

import { setThreadPriorities } from '#linux/priority.ts';

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
});
