import { Worker } from 'node:worker_threads';

import { expect } from 'chai';
import { describe, it } from 'mocha';

import { selfTestOpenssl } from '#reactor/tls/self-test.ts';
import { expectNoLeak } from '#tests/support/descriptors.ts';

describe('selfTestOpenssl()', () => {
  it('passes on the Node that runs the tests, and leaves no descriptor', () => {
    expectNoLeak(() => selfTestOpenssl());
  });

  it('passes in a worker thread, whose callbacks are its own', async () => {
    const file = new URL('../../../../reactor/tls/self-test.ts', import.meta.url);
    const code = `import(${JSON.stringify(file.href)}).then((module) => module.selfTestOpenssl())`;
    const worker = new Worker(code, { eval: true });
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    worker.on('error', reject).on('exit', resolve);
    expect(await promise).to.equal(0);
  });
});
