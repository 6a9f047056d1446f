import { expect } from 'chai';
import { describe, it } from 'mocha';

import { program, run, start } from '#tests/bed/process.ts';

describe('tests/bed/as-root.ts', () => {
  it('runs a command as root of some namespace and ends with its exit code', async () => {
    const result = await run(program('tests/bed/as-root.ts', 'sh', '-c', 'id -u; exit 3'));
    expect(result).to.deep.include({ code: 3, stdout: '0\n' });
  });

  it('ends the command when it is told to end', async () => {
    const wrapper = start(program('tests/bed/as-root.ts', 'sh', '-c', 'echo up; exec sleep 60'));
    await wrapper.waitFor(/^up$/);
    const exit = await wrapper.stop();
    expect(exit).to.not.include({ code: 0 });
  });
});
