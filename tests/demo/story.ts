import { type Screen, styled } from './screen.ts';

/** One thing that the demo claims, and how it shows it. */
export interface Step<Stage> {
  readonly title: string;
  /** Without it the steps after it would have nothing to show: the story ends when it does not hold. */
  readonly essential?: true;
  /** Yields evidence, line by line as it is found; throws with what did not hold. */
  run(stage: Stage): AsyncIterable<string>;
}

/** Longest a step may take, on a slow machine: then it counts as not held. */
const STEP_DEADLINE_MS = 60_000;

/** Tells every step in order; true when all of them held. */
export async function tellStory<Stage>(
  screen: Screen,
  stage: Stage,
  steps: readonly Step<Stage>[],
): Promise<boolean> {
  const failed: number[] = [];
  for (const [index, step] of steps.entries()) {
    const heading = `${index + 1}/${steps.length}  ${step.title}`;
    screen.write(`\n${styled(screen, 'strong', heading)}\n`);
    const held = await tellStep(screen, stage, step);
    if (!held) failed.push(index + 1);
    if (!held && step.essential) break;
  }
  const outcome =
    failed.length === 0
      ? styled(screen, 'good', `All ${steps.length} steps held.`)
      : styled(screen, 'bad', `Did not hold: step ${failed.join(', ')} of ${steps.length}.`);
  screen.write(`\n${outcome}\n`);
  return failed.length === 0;
}

async function tellStep<Stage>(screen: Screen, stage: Stage, step: Step<Stage>): Promise<boolean> {
  const began = performance.now();
  try {
    await withDeadline(printAll(screen, step.run(stage)));
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    screen.write(
      `     ${styled(screen, 'good', '✓ held')} ${styled(screen, 'quiet', `(${seconds} s)`)}\n`,
    );
    return true;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    screen.write(`     ${styled(screen, 'bad', '✗ did not hold:')} ${indent(why)}\n`);
    return false;
  }
}

async function printAll(screen: Screen, evidence: AsyncIterable<string>): Promise<void> {
  for await (const line of evidence) screen.write(`     ${indent(line)}\n`);
}

async function withDeadline(work: Promise<void>): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new Error(`it took longer than ${STEP_DEADLINE_MS / 1000} s`)),
    STEP_DEADLINE_MS,
  );
  try {
    await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
  }
}

function indent(text: string): string {
  return text.trimEnd().replaceAll('\n', '\n     ');
}
