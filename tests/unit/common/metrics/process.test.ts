import { closeSync, openSync } from 'node:fs';

import { expect } from 'chai';
import { describe, it } from 'mocha';

import { processFamilies, readMaxDescriptors } from '#common/metrics/process.ts';

async function read(name: string): Promise<number> {
  const family = processFamilies().find((each) => each.name === name);
  const samples = (await family?.read()) ?? [];
  return samples[0]?.value ?? Number.NaN;
}

describe('processFamilies()', () => {
  it('counts descriptors that were opened', async () => {
    const before = await read('process_open_fds');
    const opened = Array.from({ length: 20 }, () => openSync('/dev/null', 'r'));
    const after = await read('process_open_fds');
    opened.forEach(closeSync);
    expect(before).to.be.greaterThan(2);
    // Others in this process may open and close some meanwhile.
    expect(after - before).to.be.within(15, 25);
  });

  it('knows the limit, the memory, the processor time and the start', async () => {
    expect(await read('process_max_fds')).to.be.greaterThan(100);
    expect(await read('process_resident_memory_bytes')).to.be.greaterThan(1e7);
    expect(await read('process_cpu_seconds_total')).to.be.within(0.01, 10_000);
    const startSeconds = await read('process_start_time_seconds');
    expect(startSeconds).to.be.within(Date.now() / 1_000 - 3_600, Date.now() / 1_000);
  });
});

describe('readMaxDescriptors()', () => {
  it('reads the soft limit', () => {
    const line = 'Max open files            1024                 524288               files     \n';
    expect(readMaxDescriptors(`Limit  Soft Limit\n${line}Max x 1 2\n`)).to.equal(1_024);
    expect(readMaxDescriptors('Max open files   unlimited   unlimited   files')).to.equal(Infinity);
  });
});
