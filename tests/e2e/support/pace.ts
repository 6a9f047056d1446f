import { program, type Running, start } from '#tests/bed/process.ts';

/** As many programs as a policy passes on its way: API server, control plane, node tunnel with its worker, and back. */
const STATIONS = 5;
/** Milliseconds that the relay takes on the machine for which the bounds are meant: two cores with nothing else to do. */
const QUIET_MS = 12;
const DEADLINE_MS = 60_000;

/** Tells how much slower than it should be the machine is while something is measured: by a relay of programs. */
export class Pace implements AsyncDisposable {
  readonly #station: Running;
  readonly #samples: number[] = [];

  private constructor(station: Running) {
    this.#station = station;
  }

  static async open(): Promise<Pace> {
    const station = start(program('tests/bed/programs/relay.ts'));
    await station.waitFor(/^running$/, DEADLINE_MS);
    return new Pace(station);
  }

  async sample(): Promise<void> {
    const beganMs = performance.now();
    for (let at = 0; at < STATIONS; at++) {
      const said = this.#station.lines.length;
      this.#station.tell('next');
      await this.#station.waitFor(/./, DEADLINE_MS, said);
    }
    this.#samples.push(performance.now() - beganMs);
  }

  get sampleMs(): number {
    return median(this.#samples);
  }

  /** A bound, as this machine can keep it now: never less than it is. */
  allow(boundMs: number): number {
    return boundMs * Math.max(1, this.sampleMs / QUIET_MS);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#station.stop();
  }
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
