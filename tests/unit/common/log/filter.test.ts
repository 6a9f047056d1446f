import { expect } from 'chai';
import { describe, it } from 'mocha';

import { LogLevels, parseLogFilter } from '#common/log/filter.ts';

function levels(text: string): LogLevels {
  const result = parseLogFilter(text);
  if (result.kind === 'refused') throw new Error(result.problem);
  return new LogLevels(result.filter);
}

describe('parseLogFilter()', () => {
  it('refuses what is neither a level nor a scope with one, and names it', () => {
    for (const text of ['', 'loud', 'info,', 'access=', '=info', 'access=loud', 'a[b]=info']) {
      const result = parseLogFilter(text);
      expect(result.kind, text).to.equal('refused');
    }
    expect(parseLogFilter('info,inof')).to.deep.equal({
      kind: 'refused',
      problem:
        'Cannot read log filter: part "inof": want a level (off, error, warn, info, debug, trace) or <scope>=<level>',
    });
  });

  it('refuses a filter of more than 100 parts', () => {
    expect(parseLogFilter(Array.from({ length: 101 }, () => 'info').join(',')).kind).to.equal(
      'refused',
    );
  });
});

describe('LogLevels', () => {
  it('enables a level and everything more severe', () => {
    const filter = levels('warn');
    expect(filter.enabled('any', 'error')).to.equal(true);
    expect(filter.enabled('any', 'warn')).to.equal(true);
    expect(filter.enabled('any', 'info')).to.equal(false);
  });

  it('lets the longest scope that fits decide, by whole segments', () => {
    const filter = levels('info,xds=debug,xds::client=off,access:trace');
    expect(filter.enabled('xds', 'debug')).to.equal(true);
    expect(filter.enabled('xds::server', 'debug')).to.equal(true);
    expect(filter.enabled('xds::client', 'error')).to.equal(false);
    expect(filter.enabled('xdsother', 'debug')).to.equal(false);
    expect(filter.enabled('access', 'trace')).to.equal(true);
    expect(filter.enabled('inpod', 'info')).to.equal(true);
  });

  it('reads a filter for a scope of several segments, in any case of the level', () => {
    const filter = levels('hickory_server::server=off,INFO');
    expect(filter.enabled('hickory_server::server', 'error')).to.equal(false);
    expect(filter.enabled('access', 'info')).to.equal(true);
  });

  it('writes only errors of scopes that no part names', () => {
    const filter = levels('access=info');
    expect(filter.enabled('xds', 'error')).to.equal(true);
    expect(filter.enabled('xds', 'warn')).to.equal(false);
  });

  it('set() changes scopes that were asked for before; reset() goes back', () => {
    const filter = levels('info');
    expect(filter.enabled('access', 'debug')).to.equal(false);
    expect(filter.set('info,access=debug').kind).to.equal('ok');
    expect(filter.enabled('access', 'debug')).to.equal(true);
    expect(filter.current()).to.equal('info,access=debug');
    filter.reset();
    expect(filter.enabled('access', 'debug')).to.equal(false);
    expect(filter.current()).to.equal('info');
  });

  it('set() keeps the filter when the new one is refused', () => {
    const filter = levels('info');
    expect(filter.set('loud').kind).to.equal('refused');
    expect(filter.current()).to.equal('info');
  });
});
