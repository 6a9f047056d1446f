import { expect } from 'chai';
import { array, assert, nat, property } from 'fast-check';
import { describe, it } from 'mocha';

import { KubeConnectionError, KubeError } from '#kube/errors.ts';
import { LineSplitter, parseWatchLine } from '#kube/watch.ts';

describe('LineSplitter', () => {
  it('gives the same lines however the text is cut, inside of characters too', () => {
    const lines = ['{"name":"Grüße"}', '', '{"name":"日本"}', 'x'];
    const bytes = Buffer.from(`${lines.join('\n')}\nhalf a li`);
    assert(
      property(array(nat(bytes.length)), (cuts) => {
        const splitter = new LineSplitter();
        const edges = [0, ...cuts.toSorted((a, b) => a - b), bytes.length];
        const got = edges.flatMap((edge, index) =>
          splitter.push(bytes.subarray(edges[index - 1] ?? 0, edge)),
        );
        expect(got).to.deep.equal(lines);
      }),
    );
  });

  it('refuses a line that does not end', () => {
    const splitter = new LineSplitter();
    const chunk = Buffer.alloc(1024 * 1024, 'x');
    expect(() => {
      for (let megabytes = 0; megabytes < 40; megabytes += 1) splitter.push(chunk);
    }).to.throw('a line is longer than');
  });
});

describe('parseWatchLine()', () => {
  it('throws an ERROR event as what it says', () => {
    const status = { kind: 'Status', code: 410, reason: 'Expired', message: 'too old' };
    const line = JSON.stringify({ type: 'ERROR', object: status });
    expect(() => parseWatchLine(line)).to.throw(KubeError, 'too old');
  });

  for (const line of ['{"type":"ADD', '{"type":"SURPRISE","object":{}}', '{}']) {
    it(`refuses ${line}`, () => {
      expect(() => parseWatchLine(line)).to.throw(KubeConnectionError, 'Cannot read an event');
    });
  }
});
