import type { Probe } from '#kube/resources.ts';

import { type ProbeTarget, runProbe } from './probe-runner.ts';
import { ProbeCounter, type ProbeTiming, probeTiming } from './probe-state.ts';

export type ProbeKind = 'Startup' | 'Readiness' | 'Liveness';

export interface ProbeListener {
  onChange(started: boolean, ready: boolean): void;
  /** A try failed. */
  onUnhealthy(kind: ProbeKind, message: string): void;
  /** A startup or liveness probe has failed for good: the container is to be restarted. */
  onDead(kind: ProbeKind): void;
}

/**
 * Before the first success, probes for starting and readiness are also tried in between: a period of ten seconds (the
 * default) would keep a program that is ready after 200 ms waiting. Such a try counts only when it succeeds.
 */
const EAGER_PERIOD_MS = 300;
/** A program that is not ready by then is not helped by asking more often. */
const EAGER_FOR_MS = 20_000;

/** The probes of one run of a container. */
export class ProbeLoops {
  readonly #target: ProbeTarget;
  readonly #listener: ProbeListener;
  readonly #timers = new Set<NodeJS.Timeout>();
  #stopped = false;
  #started = false;
  #ready = false;

  constructor(target: ProbeTarget, listener: ProbeListener) {
    this.#target = target;
    this.#listener = listener;
  }

  start(): void {
    if (this.#stopped) return;
    const { startupProbe } = this.#target.container;
    if (startupProbe === undefined) return this.#onStarted();
    this.#loop('Startup', startupProbe, (verdict) => {
      if (verdict === 'success') this.#onStarted();
      else this.#listener.onDead('Startup');
      return false;
    });
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }

  #onStarted(): void {
    const { readinessProbe, livenessProbe } = this.#target.container;
    this.#become(true, readinessProbe === undefined);
    if (readinessProbe !== undefined) {
      this.#loop('Readiness', readinessProbe, (verdict) => {
        this.#become(true, verdict === 'success');
        return true;
      });
    }
    if (livenessProbe !== undefined) {
      this.#loop('Liveness', livenessProbe, (verdict) => {
        if (verdict === 'failure') this.#listener.onDead('Liveness');
        return verdict === 'success';
      });
    }
  }

  #become(started: boolean, ready: boolean): void {
    if (this.#started === started && this.#ready === ready) return;
    this.#started = started;
    this.#ready = ready;
    this.#listener.onChange(started, ready);
  }

  /** Tries until stopped, or until `onVerdict` (called when the verdict changes) says that it is enough. */
  #loop(
    kind: ProbeKind,
    probe: Probe,
    onVerdict: (verdict: 'success' | 'failure') => boolean,
  ): void {
    const timing = probeTiming(probe);
    const loop: Loop = {
      kind,
      probe,
      timing,
      counter: new ProbeCounter(timing),
      onVerdict,
      startMs: Date.now() + timing.initialDelayMs,
      nextMs: Date.now() + timing.initialDelayMs,
    };
    this.#schedule(loop, timing.initialDelayMs);
  }

  #schedule(loop: Loop, delayMs: number): void {
    if (this.#stopped) return;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      void this.#try(loop);
    }, delayMs);
    this.#timers.add(timer);
  }

  async #try(loop: Loop): Promise<void> {
    const { kind, probe, timing, counter } = loop;
    const result = await runProbe(probe, this.#target, timing.timeoutMs);
    if (this.#stopped) return;
    const nowMs = Date.now();
    const isDue = nowMs >= loop.nextMs;
    if (isDue) loop.nextMs += timing.periodMs;
    if (isDue || result.kind === 'success') {
      if (result.kind === 'failure') this.#listener.onUnhealthy(kind, result.message);
      if (counter.count(result) && counter.verdict !== 'unknown') {
        if (!loop.onVerdict(counter.verdict)) return;
      }
    }
    const isEager =
      kind !== 'Liveness' && counter.verdict !== 'success' && nowMs - loop.startMs < EAGER_FOR_MS;
    const untilDueMs = Math.max(1, loop.nextMs - Date.now());
    this.#schedule(loop, isEager ? Math.min(EAGER_PERIOD_MS, untilDueMs) : untilDueMs);
  }
}

interface Loop {
  readonly kind: ProbeKind;
  readonly probe: Probe;
  readonly timing: ProbeTiming;
  readonly counter: ProbeCounter;
  readonly onVerdict: (verdict: 'success' | 'failure') => boolean;
  readonly startMs: number;
  /** When the next try is due that counts either way. */
  nextMs: number;
}
