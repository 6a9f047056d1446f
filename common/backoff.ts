/** How the delay between attempts grows. */
export interface BackoffPlan {
  /** Before the second attempt. */
  readonly firstMs: number;
  readonly maxMs: number;
  /** Each delay is multiplied by a random number from 1 - spread to 1 + spread. */
  readonly spread: number;
}

/**
 * The delay after so many failures in a row (at least 1): doubled each time, up to `maxMs`, spread so
 * that those who failed together do not come back together.
 */
export function backoffMs(plan: BackoffPlan, failures: number, random: () => number): number {
  const grownMs = Math.min(plan.maxMs, plan.firstMs * 2 ** (Math.max(1, failures) - 1));
  return grownMs * (1 - plan.spread + 2 * plan.spread * random());
}
