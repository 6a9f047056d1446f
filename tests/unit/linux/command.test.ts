import { expect } from 'chai';
import { describe, it } from 'mocha';

import { runCommand } from '#linux/command.ts';

describe('runCommand()', () => {
  it('gives the input, and answers what the program printed and how it ended', async () => {
    const result = await runCommand('sh', ['-c', 'cat; echo oh >&2; exit 3'], { input: 'text' });
    expect(result).to.deep.equal({ kind: 'exited', code: 3, stdout: 'text', stderr: 'oh\n' });
  });

  it('says that a program is not there', async () => {
    expect(await runCommand('no-such-program', [])).to.deep.equal({
      kind: 'failed',
      message: 'Cannot run "no-such-program" (ENOENT): it is not installed, or not in PATH',
    });
  });

  it('ends a program that takes too long', async () => {
    const result = await runCommand('sleep', ['100'], { timeoutMs: 20 });
    expect(result).to.deep.equal({
      kind: 'failed',
      message: '"sleep" was ended by SIGKILL; it may take 20 ms',
    });
  });

  it('ends a program that prints without end', async () => {
    const result = await runCommand('yes', []);
    expect(result.kind === 'failed' && result.message).to.include('printed more than');
  });

  it('is not disturbed by a program that does not read its input', async () => {
    const result = await runCommand('true', [], { input: 'x'.repeat(1_000_000) });
    expect(result).to.have.property('code', 0);
  });
});
