import { expect } from 'chai';
import { beforeEach, describe, it } from 'mocha';

import { parseLogFilter } from '#common/log/filter.ts';
import type { LineBatch } from '#common/log/writer.ts';
import { WorkerLog } from '#dataplane/workers/worker-log.ts';
import type { Loop } from '#reactor/loop.ts';
import { TimerWheel } from '#reactor/timers.ts';

/** As many as may be on their way to a reader that takes none. */
const IN_FLIGHT = 20_000;

describe('WorkerLog', () => {
  let batches: LineBatch[];
  let timers: TimerWheel;
  let log: WorkerLog;

  beforeEach(() => {
    batches = [];
    timers = new TimerWheel(0);
    const parsed = parseLogFilter('info');
    if (parsed.kind === 'refused') throw new Error(parsed.problem);
    const settings = { format: 'text', filter: parsed.filter } as const;
    const loop = { timers, nowMs: 0 } as Loop;
    log = new WorkerLog(loop, settings, (batch) => batches.push(batch));
  });

  const sum = (pick: (batch: LineBatch) => number): number =>
    batches.reduce((total, batch) => total + pick(batch), 0);

  it('hands on what was written, in order, a moment later', () => {
    log.writeLine('one');
    log.writeLine('two');
    expect(batches).to.deep.equal([]);
    timers.advance(100, () => undefined);
    expect(batches).to.deep.equal([{ text: 'one\ntwo\n', lines: 2, lost: 0 }]);
  });

  it('keeps a bounded number of lines for a reader that takes none, and counts the others', () => {
    const written = 5 * IN_FLIGHT;
    for (let each = 0; each < written; each++) log.writeLine('a line of a request that is over');
    log.flush();
    const sent = sum(({ lines }) => lines);
    expect(sent).to.be.within(IN_FLIGHT, 2 * IN_FLIGHT);

    log.taken(sent);
    log.taken(sum(({ lines }) => lines) - sent);
    log.flush();
    expect(sum(({ lines }) => lines)).to.be.at.most(3 * IN_FLIGHT);
    expect(sum(({ lines, lost }) => lines + lost)).to.equal(written);
  });
});
