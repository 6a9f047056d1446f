import { after, before } from 'mocha';

import type { Loop } from '#reactor/loop.ts';
import { openThreadLoop } from '#reactor/thread-loop.ts';

/** A running loop for the tests of this `describe`, which may be read once they run. */
export function useLoop(onFault?: Loop['onFault']): { readonly loop: Loop } {
  let loop: Loop | undefined;
  before(async () => {
    loop = await openThreadLoop();
    if (onFault !== undefined) loop.onFault = onFault;
    loop.start();
  });
  after(() => loop?.stop());
  return {
    get loop(): Loop {
      if (loop === undefined) throw new Error('The loop runs while tests run');
      return loop;
    },
  };
}
