import { expect } from 'chai';
import { describe, it } from 'mocha';

import { findAccessLog, parseAccessLogLine, showAccessLog } from '#tests/demo/access-log.ts';

const line = (message: string, fields: string): string =>
  `2026-11-21T09:29:52.230206Z\tinfo\taccess\t${message}\t${fields}`;
const outbound = line(
  'connection complete',
  'src.addr=10.0.0.1:4000 src.identity="spiffe://cluster.local/ns/default/sa/till" direction="outbound" bytes_sent=65 duration="6ms"',
);

describe('parseAccessLogLine()', () => {
  it('reads plain and quoted values', () => {
    const read = parseAccessLogLine(outbound);
    expect(read?.message).to.equal('connection complete');
    expect(Object.fromEntries(read?.fields ?? [])).to.deep.equal({
      'src.addr': '10.0.0.1:4000',
      'src.identity': 'spiffe://cluster.local/ns/default/sa/till',
      direction: 'outbound',
      bytes_sent: '65',
      duration: '6ms',
    });
  });

  it('keeps spaces, equal signs and escaped quotes inside a value', () => {
    const read = parseAccessLogLine(line('connection complete', 'error="a=\\"b\\" c" x=1'));
    expect(read?.fields.get('error')).to.equal('a=\\"b\\" c');
    expect(read?.fields.get('x')).to.equal('1');
  });

  it('is absent for lines of other scopes and for other text', () => {
    expect(parseAccessLogLine(outbound.replace('access', 'proxy'))).to.equal(undefined);
    expect(parseAccessLogLine('starting')).to.equal(undefined);
  });
});

describe('findAccessLog()', () => {
  const log = ['starting', outbound, outbound.replace('outbound', 'inbound')];

  it('finds the lines that have every wanted value', () => {
    expect(findAccessLog(log, { direction: 'inbound', bytes_sent: '65' })).to.have.length(1);
    expect(findAccessLog(log, { bytes_sent: '65' })).to.have.length(2);
  });

  it('finds nothing when one value differs or is missing', () => {
    expect(findAccessLog(log, { direction: 'inbound', bytes_sent: '66' })).to.deep.equal([]);
    expect(findAccessLog(log, { error: 'x' })).to.deep.equal([]);
  });
});

describe('showAccessLog()', () => {
  it('shows the chosen fields that the line has, in the chosen order', () => {
    const [read] = findAccessLog([outbound], {});
    const keys = ['direction', 'error', 'bytes_sent'];
    expect(read && showAccessLog('east', read, keys)).to.equal(
      'access log of east: connection complete\n  direction      outbound\n  bytes_sent     65',
    );
  });
});
