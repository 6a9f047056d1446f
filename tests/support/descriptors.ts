import { readdirSync, readlinkSync } from 'node:fs';

import { expect } from 'chai';

/** This process's open descriptors and what each stands for, without the one that lists them. */
export function openDescriptors(): ReadonlyMap<number, string> {
  const open = new Map<number, string>();
  for (const name of readdirSync('/proc/self/fd')) {
    try {
      open.set(Number(name), readlinkSync(`/proc/self/fd/${name}`));
    } catch {
      // The descriptor of the listing itself is closed again by now.
    }
  }
  return open;
}

/** Runs `work` and fails when it leaves more descriptors open than there were before. */
export function expectNoLeak(work: () => void): void {
  const before = openDescriptors();
  work();
  const leaked = [...openDescriptors()].filter(([fd, target]) => before.get(fd) !== target);
  expect(leaked, 'descriptors left open').to.deep.equal([]);
}
