import type { Clock } from '#common/clock.ts';
import type { Logger } from '#common/log/logger.ts';

import type { Enrolment } from './enrolment.ts';
import type { ProbeRules } from './probe-rules.ts';

export interface AuditOptions {
  readonly enrolment: Pick<Enrolment, 'uids' | 'audit'>;
  readonly probes: Pick<ProbeRules, 'isIntact' | 'load'>;
  readonly clock: Clock;
  readonly intervalMs: number;
  readonly log: Logger;
  /** A pod whose namespace or rules can't be got at: to be enrolled anew. */
  readonly onLost: (uid: string) => void;
  readonly onRepaired: (what: 'pod' | 'node') => void;
}

/**
 * Takes "enrolled" for a claim and looks: are the rules that should be in each pod and on the node still there? Firewall
 * tools and people remove what they do not know. One pod after the other, spread over the interval.
 */
export class Audit {
  readonly #options: AuditOptions;
  #timer: Disposable | undefined;
  #isStopped = false;

  constructor(options: AuditOptions) {
    this.#options = options;
  }

  start(): void {
    this.#sleep(this.#options.intervalMs, () => this.#round());
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.[Symbol.dispose]();
  }

  async #round(): Promise<void> {
    await this.#node();
    const uids = [...this.#options.enrolment.uids];
    await this.#next(uids, this.#options.intervalMs / (uids.length + 1));
  }

  async #next(uids: string[], stepMs: number): Promise<void> {
    const uid = uids.shift();
    if (uid === undefined) {
      this.#sleep(stepMs, () => this.#round());
      return;
    }
    await this.#pod(uid);
    this.#sleep(stepMs, () => this.#next(uids, stepMs));
  }

  async #node(): Promise<void> {
    const { probes, log, onRepaired } = this.#options;
    if ((await probes.isIntact()) !== false) return;
    await probes.load();
    log.warn('the rules of the node had been changed and are put right');
    onRepaired('node');
  }

  async #pod(uid: string): Promise<void> {
    const { enrolment, onLost, onRepaired } = this.#options;
    const result = await enrolment.audit(uid);
    if (result === 'lost') onLost(uid);
    if (result === 'repaired') onRepaired('pod');
  }

  #sleep(delayMs: number, then: () => Promise<void>): void {
    if (this.#isStopped) return;
    this.#timer = this.#options.clock.setTimer(delayMs, () => {
      then().catch((error: unknown) => {
        this.#options.log.warn('an audit broke off', { error: String(error) });
        this.#sleep(this.#options.intervalMs, () => this.#round());
      });
    });
  }
}
