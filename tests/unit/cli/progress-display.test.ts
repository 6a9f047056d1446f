import { expect } from 'chai';
import { describe, it } from 'mocha';

import { ProgressDisplay } from '#cli/progress-display.ts';

function shown(isTTY: boolean): string {
  const written: string[] = [];
  const stream = { isTTY, write: (text: string) => written.push(text) };
  let nowMs = 500;
  const display = new ProgressDisplay(stream as unknown as NodeJS.WriteStream, () => nowMs);
  display.awaits('nodes 1/2');
  display.awaits('nodes 1/2');
  nowMs = 2_540;
  display.done('nodes 2/2');
  display.awaits('istiod 0/1');
  display.awaits('');
  return written.join('');
}

describe('ProgressDisplay', () => {
  it('tells a file what is done, and when', () => {
    expect(shown(false)).to.equal('  nodes 2/2                 2.0 s\n');
  });

  it('shows on a terminal what is awaited, until it is not any more', () => {
    expect(shown(true).split('\r\x1b[K')).to.deep.equal([
      '',
      '  … nodes 1/2',
      '  nodes 2/2                 2.0 s\n',
      '  … istiod 0/1',
      '',
    ]);
  });
});
