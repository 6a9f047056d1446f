import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { program, type Running } from './process.ts';
import type { Place, World } from './world.ts';

/** What passed an interface between start and stop. */
export interface Recording {
  /** A pcap file, as Wireshark reads it; gone with the world. */
  readonly path: string;
  readonly packets: number;
  /** Packets that were not recorded because the machine was too busy. With any, a search proves nothing. */
  readonly lost: number;
  /** Is the text in any packet? Text that begins in one and ends in the next is not found: look for short ones. */
  contains(text: string): boolean;
}

/** Records one interface of a node or pod in both directions: what is on the wire. */
export class Capture {
  readonly #recorder: Running;
  readonly #path: string;

  private constructor(recorder: Running, path: string) {
    this.#recorder = recorder;
    this.#path = path;
  }

  /** Resolves when every packet from now on is recorded. */
  static async start(world: World, place: Place, device: string): Promise<Capture> {
    const path = join(world.directory, `${place.name}-${device}-${captures++}.pcap`);
    const recorder = world.start(place, program('tests/bed/programs/capture.ts', device, path));
    await recorder.waitFor(/^capturing$/);
    return new Capture(recorder, path);
  }

  async stop(): Promise<Recording> {
    this.#recorder.tell('stop');
    const line = await this.#recorder.waitFor(/^captured /);
    await this.#recorder.exited;
    const [packets = 0, lost = 0] = [...line.matchAll(/\d+/g)].map(Number);
    const bytes = readFileSync(this.#path);
    return { path: this.#path, packets, lost, contains: (text) => bytes.includes(text) };
  }
}

let captures = 0;
