import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';

import { LineCollector, LineWriter } from '#common/log/writer.ts';

const notice = (lines: number): string => `lost ${lines}`;

describe('LineCollector', () => {
  it('gives collected lines once', () => {
    const collector = new LineCollector();
    expect(collector.take()).to.equal(undefined);
    collector.writeLine('a');
    collector.writeLine('b');
    expect(collector.pending).to.equal(4);
    expect(collector.take()).to.deep.equal({ text: 'a\nb\n', lines: 2, lost: 0 });
    expect(collector.take()).to.equal(undefined);
  });

  it('drops and counts what does not fit', () => {
    const collector = new LineCollector(2);
    for (const line of ['a', 'b', 'c', 'd']) collector.writeLine(line);
    expect(collector.take()).to.deep.equal({ text: 'a\nb\n', lines: 2, lost: 2 });
    collector.writeLine('e');
    expect(collector.take()).to.deep.equal({ text: 'e\n', lines: 1, lost: 0 });
  });

  it('bounds the characters too', () => {
    const collector = new LineCollector();
    for (let i = 0; i < 10; i++) collector.writeLine('x'.repeat(1 << 20));
    expect(collector.take()?.lost).to.equal(3);
  });
});

describe('LineWriter', () => {
  let folder: string;
  let path: string;
  let fd: number;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'ambit-log-'));
    path = join(folder, 'log');
    fd = openSync(path, 'a');
  });
  afterEach(() => {
    closeSync(fd);
    rmSync(folder, { recursive: true });
  });

  it('writes lines and batches in their order', async () => {
    const writer = new LineWriter(fd, notice);
    writer.writeLine('first');
    writer.writeBatch({ text: 'second\nthird\n', lines: 2, lost: 0 });
    writer.writeLine('fourth');
    await writer.flush();
    expect(readFileSync(path, 'utf8')).to.equal('first\nsecond\nthird\nfourth\n');
  });

  it('tells how many lines a full queue lost', async () => {
    const writer = new LineWriter(fd, notice, 2);
    // The first goes out at once; two wait; two are lost.
    for (const line of ['a', 'b', 'c', 'd', 'e']) writer.writeLine(line);
    await writer.flush();
    expect(readFileSync(path, 'utf8')).to.equal('a\nb\nc\nlost 2\n');
    expect(writer.lost).to.equal(2);
  });

  it('tells what another thread lost', async () => {
    const writer = new LineWriter(fd, notice);
    writer.writeBatch({ text: 'a\n', lines: 1, lost: 7 });
    await writer.flush();
    expect(readFileSync(path, 'utf8')).to.equal('a\nlost 7\n');
    expect(writer.lost).to.equal(7);
  });

  it('flushSync() writes what is left, each line once', async () => {
    const writer = new LineWriter(fd, notice);
    writer.writeLine('a');
    await writer.flush();
    writer.writeLine('b');
    await writer.flush();
    writer.flushSync();
    expect(readFileSync(path, 'utf8')).to.equal('a\nb\n');
  });

  it('goes on and counts when the reader is gone', async () => {
    const readOnly = openSync(path, 'r'); // writing fails with EBADF
    const writer = new LineWriter(readOnly, notice);
    writer.writeLine('a');
    await writer.flush();
    writer.writeLine('b');
    await writer.flush();
    expect(writer.lost).to.equal(2);
    closeSync(readOnly);
  });

  it('does not block its thread when the reader of a pipe is slow', async () => {
    const fifo = join(folder, 'fifo');
    execFileSync('mkfifo', [fifo]);
    // Opens the pipe, and reads from it only when told to.
    const script = 'exec 3<"$0"; read go; cat <&3 >"$1"';
    const reader = spawn('sh', ['-c', script, fifo, join(folder, 'out')], { stdio: 'pipe' });
    const pipe = await open(fifo, 'w');
    const writer = new LineWriter(pipe.fd, notice);
    const line = 'x'.repeat(999);
    for (let i = 0; i < 1_000; i++) writer.writeLine(line); // 1 MB; a pipe holds 64 KB
    reader.stdin.end('go\n');
    await writer.flush();
    await pipe.close();
    await once(reader, 'exit');
    expect(readFileSync(join(folder, 'out'), 'utf8')).to.equal(`${line}\n`.repeat(1_000));
    expect(writer.lost).to.equal(0);
  });
});
