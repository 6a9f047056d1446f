import { expect } from 'chai';
import { describe, it } from 'mocha';

import { LogLevels, parseLogFilter } from '#common/log/filter.ts';
import type { LogFormat } from '#common/log/format.ts';
import { Logger } from '#common/log/logger.ts';

function setUp(filterText: string, format: LogFormat): { logger: Logger; lines: string[] } {
  const result = parseLogFilter(filterText);
  if (result.kind === 'refused') throw new Error(result.problem);
  const lines: string[] = [];
  const sink = { writeLine: (line: string) => void lines.push(line) };
  const levels = new LogLevels(result.filter);
  return { logger: new Logger({ levels, format, sink, now: () => 0 }, 'app'), lines };
}

describe('Logger', () => {
  it('writes text lines of the enabled levels', () => {
    const { logger, lines } = setUp('info', 'text');
    logger.error('broken', { error: 'no "route"' });
    logger.info('started');
    logger.debug('detail');
    expect(lines).to.deep.equal([
      String.raw`1970-01-01T00:00:00.000000Z${'\t'}error${'\t'}app${'\t'}broken${'\t'}error="no \"route\""`,
      '1970-01-01T00:00:00.000000Z\tinfo\tapp\tstarted',
    ]);
  });

  it('filters by the scope that scoped() gave', () => {
    const { logger, lines } = setUp('warn,xds=trace', 'text');
    logger.info('hidden');
    logger.scoped('xds').trace('shown');
    expect(lines).to.deep.equal(['1970-01-01T00:00:00.000000Z\ttrace\txds\tshown']);
  });

  it('writes JSON lines with the spans of within()', () => {
    const { logger, lines } = setUp('info', 'json');
    logger.within('proxy', { wl: 'shop/till' }).warn('slow', { ms: 12 });
    expect(lines.map((line) => JSON.parse(line) as unknown)).to.deep.equal([
      {
        level: 'warn',
        time: '1970-01-01T00:00:00.000000Z',
        scope: 'app',
        message: 'slow',
        ms: 12,
        proxy: { wl: 'shop/till' },
      },
    ]);
  });
});
