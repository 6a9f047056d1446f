import { expect } from 'chai';
import { describe, it } from 'mocha';

import { Readiness } from '#dataplane/admin/readiness.ts';

describe('Readiness', () => {
  it('names what is pending until everything is done', () => {
    const readiness = new Readiness(['workload proxy manager', 'state manager']);
    expect(readiness.report()).to.deep.equal({
      ready: false,
      text: 'not ready, pending: state manager, workload proxy manager\n',
    });
    readiness.done('state manager');
    expect(readiness.report().text).to.equal('not ready, pending: workload proxy manager\n');
    readiness.done('workload proxy manager');
    expect(readiness.report()).to.deep.equal({ ready: true, text: 'ready\n' });
  });

  it('says what a task waits for, as it was said last', () => {
    const readiness = new Readiness(['state manager']);
    readiness.pending('workload proxy manager', 'no agent');
    readiness.pending('workload proxy manager', 'pod shop/web: EADDRINUSE');
    expect(readiness.report().text).to.equal(
      'not ready, pending: state manager, workload proxy manager (pod shop/web: EADDRINUSE)\n',
    );
  });

  it('goes back to not ready when a task is pending again', () => {
    const readiness = new Readiness([]);
    readiness.pending('workload proxy manager');
    readiness.pending('workload proxy manager');
    expect(readiness.report().ready).to.equal(false);
    readiness.done('workload proxy manager');
    expect(readiness.report().ready).to.equal(true);
  });
});
