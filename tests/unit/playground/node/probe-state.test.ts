import { expect } from 'chai';
import { describe, it } from 'mocha';

import { ProbeCounter, probeTiming } from '#playground/node/probe-state.ts';

const success = { kind: 'success' } as const;
const failure = { kind: 'failure', message: 'no' } as const;

describe('probeTiming()', () => {
  it('has the defaults of the API', () => {
    expect(probeTiming({})).to.deep.equal({
      initialDelayMs: 0,
      periodMs: 10_000,
      timeoutMs: 1_000,
      successThreshold: 1,
      failureThreshold: 3,
    });
  });
});

describe('ProbeCounter', () => {
  it('changes its verdict after so many results of one kind in a row', () => {
    const counter = new ProbeCounter(probeTiming({ successThreshold: 2 }));
    const results = [success, failure, success, success, failure, failure, success, failure];
    const verdicts = results.map((result) => {
      counter.count(result);
      return counter.verdict;
    });
    expect(verdicts.slice(0, 4)).to.deep.equal(['unknown', 'unknown', 'unknown', 'success']);
    // Two failures, then a success between: never three in a row.
    expect(verdicts.slice(4)).to.deep.equal(['success', 'success', 'success', 'success']);
    expect([counter.count(failure), counter.count(failure)]).to.deep.equal([false, true]);
    expect(counter.verdict).to.equal('failure');
  });

  it('count() says when the verdict changes, and only then', () => {
    const counter = new ProbeCounter(probeTiming({ failureThreshold: 1 }));
    const changes = [failure, failure, success, success].map((each) => counter.count(each));
    expect(changes).to.deep.equal([true, false, true, false]);
  });
});
