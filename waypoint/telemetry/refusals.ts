import { type MetricFamily, single } from '#common/metrics/registry.ts';

/** What was refused since the last time. Plain data. */
export interface RefusalCounts {
  /** By fault: how many requests. */
  readonly badRequests: readonly (readonly [fault: string, requests: number])[];
  readonly refused: number;
}

/** Faults have names that are ours; there are fewer of them. */
const FAULTS_MAX = 200;
const OTHERS = 'others';

/** What a fault is counted as: of HTTP/2 the code, not what in particular was wrong. There are few. */
export function faultName(fault: string): string {
  return /^HTTP\/2 error [0-9]+/.exec(fault)?.[0] ?? fault;
}

/** Counts what never became a request that could be decided about. */
export class Refusals {
  readonly #badRequests = new Map<string, number>();
  #refused = 0;

  /** A request with a fault, whose connection is closed for it. */
  addBadRequest(fault: string): void {
    this.#add(faultName(fault), 1);
  }

  /** A tunnel, or a connection in it, that may not be opened. */
  addRefused(): void {
    this.#refused++;
  }

  take(): RefusalCounts {
    const taken = { badRequests: [...this.#badRequests], refused: this.#refused };
    this.#badRequests.clear();
    this.#refused = 0;
    return taken;
  }

  /** Adds what another thread has taken. */
  absorb({ badRequests, refused }: RefusalCounts): void {
    for (const [fault, requests] of badRequests) this.#add(fault, requests);
    this.#refused += refused;
  }

  families(): readonly MetricFamily[] {
    return [
      {
        kind: 'counter',
        name: 'ambit_bad_requests_total',
        help: 'Requests that break a rule of HTTP; their connections are closed',
        read: () =>
          Array.from(this.#badRequests, ([fault, value]) => ({ labels: { fault }, value })),
      },
      single(
        'counter',
        'ambit_tunnels_refused_total',
        'Tunnels, and connections in them, that were refused',
        () => this.#refused,
      ),
    ];
  }

  #add(fault: string, requests: number): void {
    const isNew = !this.#badRequests.has(fault);
    const name = isNew && this.#badRequests.size >= FAULTS_MAX ? OTHERS : fault;
    this.#badRequests.set(name, (this.#badRequests.get(name) ?? 0) + requests);
  }
}
