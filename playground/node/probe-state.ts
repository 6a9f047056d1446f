import type { Probe } from '#kube/resources.ts';

/** What one try of a probe found. */
export type ProbeResult =
  | { readonly kind: 'success' }
  /** As the kubelet says it in the event. */
  | { readonly kind: 'failure'; readonly message: string };

export type ProbeVerdict = 'unknown' | 'success' | 'failure';

/** A probe's settings with the defaults of the API. */
export interface ProbeTiming {
  readonly initialDelayMs: number;
  readonly periodMs: number;
  readonly timeoutMs: number;
  readonly successThreshold: number;
  readonly failureThreshold: number;
}

export function probeTiming(probe: Probe): ProbeTiming {
  return {
    initialDelayMs: (probe.initialDelaySeconds ?? 0) * 1_000,
    periodMs: (probe.periodSeconds ?? 10) * 1_000,
    timeoutMs: (probe.timeoutSeconds ?? 1) * 1_000,
    successThreshold: probe.successThreshold ?? 1,
    failureThreshold: probe.failureThreshold ?? 3,
  };
}

/** Counts a probe's tries: its verdict changes when enough in a row say so. */
export class ProbeCounter {
  verdict: ProbeVerdict = 'unknown';
  readonly #timing: ProbeTiming;
  #last: ProbeResult['kind'] | undefined;
  #run = 0;

  constructor(timing: ProbeTiming) {
    this.#timing = timing;
  }

  /** Takes a result; true when the verdict has changed. */
  count(result: ProbeResult): boolean {
    this.#run = this.#last === result.kind ? this.#run + 1 : 1;
    this.#last = result.kind;
    const { successThreshold, failureThreshold } = this.#timing;
    const needed = result.kind === 'success' ? successThreshold : failureThreshold;
    if (this.#run < needed || this.verdict === result.kind) return false;
    this.verdict = result.kind;
    return true;
  }
}
