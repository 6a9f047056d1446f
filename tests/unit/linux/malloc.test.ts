import { expect } from 'chai';
import { describe, it } from 'mocha';

import { run } from '#tests/bed/process.ts';

/** Memory of this process that has no file behind it, before and after many pieces were used and freed. */
const PROGRAM = `
import { readFileSync } from 'node:fs';
import koffi from 'koffi';
import { keepFreedMemory, returnFreedMemory } from './linux/malloc.ts';
const library = koffi.load('libc.so.6');
const malloc = library.func('void *malloc(size_t)');
const memset = library.func('void *memset(void *, int, size_t)');
const free = library.func('void free(void *)');
const MB = () => Number(/RssAnon:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) / 1024;
if (process.argv[2] === 'return') returnFreedMemory();
const used = [];
for (let i = 0; i < 1000; i++) {
  const piece = malloc(65536);
  memset(piece, 1, 65536);
  used.push(piece);
  // What is in use behind it keeps the C library from giving it back.
  malloc(1024);
}
const before = MB();
for (const piece of used) free(piece);
console.log(JSON.stringify({ freed: before - MB() }));
keepFreedMemory();
`;

async function freedBy(how: string): Promise<number> {
  const command = [process.execPath, '--input-type=module', '-', how];
  const { stdout, stderr, code } = await run(command, { input: PROGRAM, cwd: process.cwd() });
  expect(code, stderr).to.equal(0);
  return (JSON.parse(stdout) as { freed: number }).freed;
}

describe('returnFreedMemory()', () => {
  it('has the C library give memory back that it would keep', async () => {
    expect(await freedBy('keep')).to.be.below(10);
    expect(await freedBy('return')).to.be.above(20);
  });
});
