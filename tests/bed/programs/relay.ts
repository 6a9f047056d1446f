// One station of a relay: answers each line of its input with a line, after a fixed piece of work that takes a quiet machine
// about two milliseconds. What a chain of programs can do on this machine at this moment shows in how long it takes.
//
//   node tests/bed/programs/relay.ts
//
// Prints `running` first.
import { createHash } from 'node:crypto';
import { createInterface } from 'node:readline';

const WORK = Buffer.alloc(2_000_000, 'work');

process.stdout.write('running\n');
createInterface({ input: process.stdin }).on('line', () => {
  process.stdout.write(`${createHash('sha256').update(WORK).digest('hex')}\n`);
});
