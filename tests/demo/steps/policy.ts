import { identityOf } from '#tests/bed/mesh-configuration.ts';

import { hold, type Stage } from '../stage.ts';
import type { Step } from '../story.ts';
import { endOf, startTransfer, untilFlowing } from '../transfer.ts';

const POLICY = 'no-guests';
/** From the new file to the last byte of what it forbids. */
const CUT_DEADLINE_MS = 5000;
const RETRY_MS = 100;

export const policy: Step<Stage> = {
  title: 'A policy shuts one caller out, open connections included',
  async *run(stage) {
    const first = await stage.order(stage.guest);
    hold(first.kind === 'answer', `guest should be served yet: ${JSON.stringify(first)}`);
    const transfer = await startTransfer(stage, stage.guest);
    await untilFlowing(transfer);
    yield 'guest is served, and a transfer from stock to guest is under way; now this policy is written:';
    const yaml = renderPolicy(identityOf(stage.guest));
    yield yaml;
    const logged = stage.tunnel(stage.west).log.length;
    const writtenAtMs = performance.now();
    try {
      stage.setPolicies(`\n${yaml}`);
      const end = await endOf(transfer, CUT_DEADLINE_MS);
      const afterMs = Math.round(performance.now() - writtenAtMs);
      hold(end !== undefined, `guest still receives ${afterMs} ms after the policy was written`);
      yield `${afterMs} ms later the open transfer was cut: guest saw "${end}"`;
      yield* shutOut(stage, logged);
    } finally {
      stage.setPolicies('[]');
      await transfer.sender.stop();
    }
    await untilServed(stage);
    yield 'the policy is taken back: guest is served again';
  },
};

async function* shutOut(stage: Stage, logged: number): AsyncIterable<string> {
  const denied = await stage.order(stage.guest);
  hold(denied.kind === 'error', 'guest still gets answers from the shop');
  yield `a new order of guest fails: ${denied.why}`;
  const caller = { 'src.workload': stage.guest.name, direction: 'inbound' };
  const line = await stage.accessLog(stage.west, caller, logged);
  const why = line?.fields.get('error') ?? 'no access log line with an error';
  hold(why.includes(POLICY), `The log of west should name ${POLICY}, and has: ${why}`);
  yield `the log of west names the rule: ${why}`;
  const other = await stage.order(stage.till);
  hold(other.kind === 'answer', `till should be served as before: ${JSON.stringify(other)}`);
  yield `till is served as before: ${other.text}`;
}

async function untilServed(stage: Stage): Promise<void> {
  const endMs = performance.now() + CUT_DEADLINE_MS;
  for (;;) {
    const answer = await stage.order(stage.guest);
    if (answer.kind === 'answer') return;
    hold(performance.now() < endMs, `guest is still shut out: ${answer.why}`);
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

function renderPolicy(identity: string): string {
  return `- name: ${POLICY}
  namespace: default
  scope: Namespace
  action: Deny
  dryRun: false
  rules:
    - - - principals: [!Exact ${identity.replace('spiffe://', '')}]`;
}
