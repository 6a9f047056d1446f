import { expect } from 'chai';
import { describe, it } from 'mocha';

import { type Step, tellStory } from '#tests/demo/story.ts';

describe('tellStory()', () => {
  it('shows each step with its evidence and says that all held', async () => {
    const { held, text } = await tell([step('one', ['a', 'b\nc']), step('two', [])]);
    expect(held).to.equal(true);
    expect(text).to.match(/1\/2 {2}one\n {5}a\n {5}b\n {5}c\n {5}✓ held/);
    expect(text).to.match(/2\/2 {2}two\n {5}✓ held/);
    expect(text).to.match(/All 2 steps held\.\n$/);
  });

  it('goes on after a step that did not hold, and is not held', async () => {
    const { held, text } = await tell([failing('one', 'it leaked'), step('two', ['a'])]);
    expect(held).to.equal(false);
    expect(text).to.match(/✗ did not hold: it leaked\n/);
    expect(text).to.include('2/2  two\n     a\n');
    expect(text).to.match(/Did not hold: step 1 of 2\.\n$/);
  });

  it('ends after an essential step that did not hold', async () => {
    const { held, text } = await tell([
      { ...failing('one', 'no'), essential: true },
      step('two', []),
    ]);
    expect(held).to.equal(false);
    expect(text).to.not.include('two');
  });

  it('gives the steps their stage', async () => {
    const seen: number[] = [];
    await tellStory({ write: () => {}, colour: false }, 7, [
      {
        title: 'one',
        // oxlint-disable-next-line require-yield -- it shows nothing
        async *run(stage: number) {
          seen.push(stage);
        },
      },
    ]);
    expect(seen).to.deep.equal([7]);
  });
});

async function tell(
  steps: readonly Step<undefined>[],
): Promise<{ readonly held: boolean; readonly text: string }> {
  let text = '';
  const write = (more: string): void => {
    text += more;
  };
  const held = await tellStory({ write, colour: false }, undefined, steps);
  return { held, text };
}

function step(title: string, evidence: readonly string[]): Step<undefined> {
  return {
    title,
    async *run() {
      yield* evidence;
    },
  };
}

function failing(title: string, why: string): Step<undefined> {
  return {
    title,
    // oxlint-disable-next-line require-yield -- it fails before it finds any evidence
    async *run() {
      throw new Error(why);
    },
  };
}
