import { watch } from 'node:fs';
import { basename, dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import type { MeshConfiguration } from '#dataplane/config-source.ts';
import { diff, EMPTY_SNAPSHOT, type MeshDelta, type MeshSnapshot } from '#dataplane/state/delta.ts';
import { doubtsAbout } from '#dataplane/state/doubts.ts';
import { describeProblems, parseLocalConfig } from '#dataplane/state/local-config.ts';

import {
  isSameFind,
  isSameLook,
  lookAtMeshFile,
  type MeshLook,
  stampOfMeshFile,
} from './mesh-file.ts';

/** Where the mesh's configuration comes from when there is no control plane. */
export type LocalSource =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'inline'; readonly text: string };

export interface MeshSourceEvents {
  /** A change that was read whole and checked. */
  onDelta(delta: MeshDelta): void;
  /** A change that could not be read: the state before it goes on. One line per problem. */
  onRefused(problems: readonly string[]): void;
  /** Something in a text that is taken up, which its writer may not have meant. */
  onWarning(warning: string): void;
}

/** Events of one change come together. */
const LOOK_SOON_MS = 20;
/** Between the two looks at a file that was put in the place of the one before, as a whole. */
const REPLACED_MS = 20;
/**
 * For so long nothing is written to a file that was written in place. Half a file can be a valid one that allows
 * more, and nobody says when it is whole; a writer that pauses does so for less.
 */
const STEADY_MS = 500;
/** Whoever starts beside a file that never rests should not wait for ever. */
const START_DEADLINE_MS = 10_000;
/** Not every file system tells of changes. */
const LOOK_AGAIN_MS = 1_000;
/** Names in one warning. */
const NAMES_MAX = 10;

/** Reads the local configuration, and reads it again whenever the file changes. */
export class MeshSource implements MeshConfiguration {
  readonly #source: LocalSource;
  readonly #events: MeshSourceEvents;
  readonly #steadyMs: number;
  readonly #closers: (() => void)[] = [];
  #snapshot: MeshSnapshot = EMPTY_SNAPSHOT;
  /** What was taken up or refused last. */
  #settled: MeshLook | undefined;
  /** What will be, if it stays. */
  #candidate: { readonly look: MeshLook; readonly sinceMs: number } | undefined;
  /** The directory says that another file has come to this name, and nothing was written to it since. */
  #isReplaced = false;
  #nextLook: NodeJS.Timeout | undefined;

  /** `steadyMs`: how long a file that is written in place must rest. */
  constructor(source: LocalSource, events: MeshSourceEvents, steadyMs: number = STEADY_MS) {
    this.#source = source;
    this.#events = events;
    this.#steadyMs = steadyMs;
  }

  /** The first reading: the problems when it can't be used, otherwise the whole as a change from nothing. */
  async load(): Promise<readonly string[]> {
    if (this.#source.kind === 'inline') return this.#take(this.#source.text);
    const look = await this.#firstLook(this.#source.path);
    if (look === undefined) {
      return [`${this.#source.path} (LOCAL_XDS_PATH) is written to all the time`];
    }
    this.#settled = look;
    return look.found.kind === 'text' ? this.#take(look.found.text) : [look.found.problem];
  }

  /** Takes up changes from now on. */
  follow(): void {
    if (this.#source.kind !== 'file') return;
    const { path } = this.#source;
    try {
      // The folder, because a file that is replaced is another file.
      const watcher = watch(dirname(path), (event, name) => {
        if (name !== null && name !== basename(path)) return;
        this.#isReplaced = name !== null && event === 'rename';
        this.#lookIn(path, LOOK_SOON_MS);
      });
      watcher.on('error', () => watcher.close());
      this.#closers.push(() => watcher.close());
    } catch {
      // Then the timer alone has to do.
    }
    const timer = setInterval(() => {
      if (this.#candidate !== undefined) return;
      if (stampOfMeshFile(path) !== this.#settled?.stamp) this.#lookIn(path, LOOK_SOON_MS);
    }, LOOK_AGAIN_MS);
    this.#closers.push(
      () => clearInterval(timer),
      () => clearTimeout(this.#nextLook),
    );
  }

  close(): void {
    for (const close of this.#closers.splice(0)) close();
  }

  /** Undefined when the file does not come to rest. */
  async #firstLook(path: string): Promise<MeshLook | undefined> {
    const untilMs = performance.now() + START_DEADLINE_MS;
    let look = lookAtMeshFile(path);
    while (look.found.kind === 'text' && !this.#isOld(look)) {
      await sleep(this.#steadyMs);
      const next = lookAtMeshFile(path);
      if (isSameLook(look, next)) break;
      if (performance.now() > untilMs) return undefined;
      look = next;
    }
    return look;
  }

  #lookIn(path: string, delayMs: number): void {
    clearTimeout(this.#nextLook);
    this.#nextLook = setTimeout(() => this.#look(path), Math.ceil(delayMs));
  }

  #look(path: string): void {
    const look = lookAtMeshFile(path);
    const nowMs = performance.now();
    if (this.#settled !== undefined && isSameFind(look, this.#settled)) {
      this.#settle(look);
      return;
    }
    let candidate = this.#candidate;
    if (candidate === undefined || !isSameLook(look, candidate.look)) {
      candidate = { look, sinceMs: nowMs };
    }
    this.#candidate = candidate;
    const waitMs = this.#isWhole(look) ? REPLACED_MS : this.#steadyMs;
    const leftMs = candidate.sinceMs + waitMs - nowMs;
    if (leftMs > 0) {
      this.#lookIn(path, leftMs);
      return;
    }
    this.#settle(look);
    const problems =
      look.found.kind === 'text' ? this.#take(look.found.text) : [look.found.problem];
    if (problems.length > 0) this.#events.onRefused(problems);
  }

  #settle(look: MeshLook): void {
    this.#settled = look;
    this.#candidate = undefined;
    this.#isReplaced = false;
  }

  /** Another file than before, which was written elsewhere, or long ago. */
  #isWhole(look: MeshLook): boolean {
    if (look.found.kind !== 'text' || look.place === this.#settled?.place) return false;
    return this.#isReplaced || this.#isOld(look);
  }

  #isOld({ writtenMs }: MeshLook): boolean {
    return Date.now() - writtenMs >= this.#steadyMs;
  }

  /** Applies a text when it is right; otherwise says what is wrong with it. */
  #take(text: string): readonly string[] {
    const name = this.#source.kind === 'file' ? this.#source.path : 'LOCAL_XDS';
    const parsed = parseLocalConfig(text, name);
    if (parsed.kind === 'refused') {
      return describeProblems(name, parsed.problems).split('\n');
    }
    const inForce = this.#snapshot.policies.length;
    if (parsed.lacksPolicies === true) {
      const what = `${name}: there is no "policies"`;
      // What is cut off at its end must not allow more than what is whole.
      if (inForce > 0) {
        return [`${what}, and ${inForce} are in force: write "policies: []" to lift them all`];
      }
      this.#events.onWarning(`${what}: write "policies: []" if there should be none`);
    }
    const delta = diff(this.#snapshot, parsed.snapshot);
    this.#snapshot = parsed.snapshot;
    const lifted = delta.removePolicies;
    if (lifted.length > 0) {
      const more = lifted.length > NAMES_MAX ? ` and ${lifted.length - NAMES_MAX} more` : '';
      const names = lifted.slice(0, NAMES_MAX).join(', ');
      this.#events.onWarning(`policies are no longer in force: ${names}${more}`);
    }
    for (const doubt of doubtsAbout(parsed.snapshot)) {
      this.#events.onWarning(`${name}: ${doubt}`);
    }
    this.#events.onDelta(delta);
    return [];
  }
}
