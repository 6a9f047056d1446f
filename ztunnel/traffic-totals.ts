import { type TrafficCounts, TrafficMetrics } from '#dataplane/telemetry/metrics.ts';

import type { Collected } from './worker/protocol.ts';
import type { Workers } from './worker/workers.ts';

/** Far shorter than series are kept. */
const REFRESH_INTERVAL_MS = 60_000;

/** The sums of what the workers count, on the control thread. */
export class TrafficTotals {
  readonly metrics: TrafficMetrics = new TrafficMetrics();
  readonly #workers: Pick<Workers, 'count' | 'ask'>;
  readonly #sockets = new Map<number, Collected['socketsOpen']>();
  readonly #connections = new Map<number, number>();
  readonly #tunnelsSending = new Map<number, number>();
  readonly #faults = new Map<number, number>();

  constructor(workers: Pick<Workers, 'count' | 'ask'>) {
    this.#workers = workers;
  }

  /** Accepted sockets that are open, as of the last {@link refresh}. */
  get socketsOpen(): { readonly source: number; readonly destination: number } {
    let source = 0;
    let destination = 0;
    for (const each of this.#sockets.values()) {
      source += each.source;
      destination += each.destination;
    }
    return { source, destination };
  }

  /** Live connections, as of the last {@link refresh}. */
  get connections(): number {
    return sum(this.#connections.values());
  }

  /** Tunnels that have ended or drain, and whose peers have not taken everything. */
  get tunnelsSending(): number {
    return sum(this.#tunnelsSending.values());
  }

  /** Connections that were closed by a fault of ours. */
  get faults(): number {
    return sum(this.#faults.values());
  }

  /** Asks now and then also when nobody looks: what has not been told can't be dropped. */
  follow(): void {
    setInterval(() => void this.refresh(), REFRESH_INTERVAL_MS).unref();
  }

  /** Asks every worker. One that does not answer keeps its last figures. */
  async refresh(): Promise<void> {
    const indexes = Array.from({ length: this.#workers.count }, (_, index) => index);
    await Promise.allSettled(
      indexes.map(async (index) => {
        this.add(index, await this.#workers.ask(index, { kind: 'collect' }));
      }),
    );
    this.metrics.dropUnused();
  }

  /** Takes what one worker has counted since the last time. */
  add(worker: number, collected: Collected): void {
    this.metrics.absorb(collected.counts);
    this.#sockets.set(worker, collected.socketsOpen);
    this.#connections.set(worker, collected.connections);
    this.#tunnelsSending.set(worker, collected.tunnelsSending);
    this.#faults.set(worker, collected.faults);
  }

  /** The worker has died, and what it had open with it. What it had counted stays. */
  forgetOpen(worker: number): void {
    this.#sockets.delete(worker);
    this.#connections.delete(worker);
    this.#tunnelsSending.delete(worker);
  }

  /** Goes on where a predecessor stopped. */
  continueFrom(counts: TrafficCounts): void {
    this.metrics.absorb(counts);
  }
}

function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
