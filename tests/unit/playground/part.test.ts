import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';

import { LogLevels, parseLogFilter } from '#common/log/filter.ts';
import { Logger } from '#common/log/logger.ts';
import { Part, type PartOptions } from '#playground/part.ts';

describe('Part', () => {
  let directory: string;
  let logFile: string;
  const lines: string[] = [];
  let heard: (() => void) | undefined;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'ambit-part-'));
    logFile = join(directory, 'log');
    writeFileSync(logFile, 'a warning\nit is broken\n');
    lines.length = 0;
  });
  afterEach(() => {
    rmSync(directory, { recursive: true, maxRetries: 10 });
  });

  function partLog(): Logger {
    const filter = parseLogFilter('info');
    if (filter.kind === 'refused') throw new Error(filter.problem);
    const sink = {
      writeLine: (line: string): void => {
        lines.push(line);
        heard?.();
      },
    };
    const levels = new LogLevels(filter.filter);
    return new Logger({ levels, format: 'text', sink, now: Date.now }, 'test');
  }

  function partOf(
    script: string,
    ready: RegExp | undefined,
    more: Partial<PartOptions> = {},
  ): Part {
    const start = () => spawn('sh', ['-c', script], { stdio: ['pipe', 'pipe', 'ignore'] });
    return new Part({ name: 'server', start, ready, logFile, log: partLog(), ...more });
  }

  it('start() resolves when the process says that it is ready', async () => {
    const part = partOf('echo starting; echo ready now; read -r end', /^ready/);
    await part.start();
    await part.stop();
    expect(lines).to.deep.equal([]);
  });

  it('is not started again where that makes no sense, but tells that it has ended', async () => {
    const lost = Promise.withResolvers<string>();
    const part = partOf('echo ready; exit 3', /^ready/, { onLost: lost.resolve });
    await part.start();
    expect(await lost.promise).to.equal('code 3');
    await part.stop();
    expect(lines.join()).to.match(/a part has ended.*server.*code 3/);
  });

  it('start() rejects with the last words of one that ends before', async () => {
    const part = partOf('exit 3', /^ready/);
    const error = await part.start().then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).to.be.instanceOf(Error);
    expect((error as Error).message).to.equal(
      'server ended before it was ready (code 3): it is broken',
    );
    await part.stop();
  });

  it('starts the process again whenever it ends', async () => {
    const script = 'echo ready; exit 1';
    const part = partOf(script, /^ready$/);
    const twice = Promise.withResolvers<void>();
    heard = () => {
      if (lines.length === 2) twice.resolve();
    };
    await part.start();
    await twice.promise;
    expect(lines[0]).to.include('a part ended and is started again').and.to.include('code 1');
    await part.stop();
  });

  it('stop() ends the process by the end of its input, and for good', async () => {
    const children: ReturnType<typeof spawn>[] = [];
    const part = new Part({
      name: 'server',
      start: () => {
        const child = spawn('sh', ['-c', 'read -r end; exit 0'], {
          stdio: ['pipe', 'pipe', 'ignore'],
        });
        children.push(child);
        return child;
      },
      ready: undefined,
      logFile,
      log: partLog(),
    });
    await part.start();
    const [child] = children;
    const exited = child === undefined ? [] : once(child, 'exit');
    await part.stop();
    expect(await exited).to.deep.equal([0, null]);
    expect(children).to.have.length(1);
  });
});
