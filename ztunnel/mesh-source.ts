import { readFileSync, statSync, watch } from 'node:fs';
import { basename, dirname } from 'node:path';

import { diff, EMPTY_SNAPSHOT, type MeshDelta, type MeshSnapshot } from '#dataplane/state/delta.ts';
import { describeProblems, parseLocalConfig } from '#dataplane/state/local-config.ts';

/** Where the mesh's configuration comes from when there is no control plane. */
export type LocalSource =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'inline'; readonly text: string };

/** What tells the mesh's configuration, and its changes as events. */
export interface MeshConfiguration {
  /** Settles when the first state is known; the problems when it can't be used. */
  load(): Promise<readonly string[]>;
  /** Takes up changes from now on. */
  follow(): void;
  close(): void;
}

export interface MeshSourceEvents {
  /** A change that was read whole and checked. */
  onDelta(delta: MeshDelta): void;
  /** A change that could not be read: the state before it goes on. One line per problem. */
  onRefused(problems: readonly string[]): void;
}

/** Writers replace a file in several steps; what is read right after the last of them is whole. */
const SETTLE_MS = 20;
/** Not every file system tells of changes. */
const LOOK_AGAIN_MS = 1_000;
/** A larger one is a mistake, and would stop everything while it is read. */
const FILE_BYTES_MAX = 64 * 1_048_576;

/** Reads the local configuration, and reads it again whenever the file changes. */
export class MeshSource implements MeshConfiguration {
  readonly #source: LocalSource;
  readonly #events: MeshSourceEvents;
  readonly #closers: (() => void)[] = [];
  #snapshot: MeshSnapshot = EMPTY_SNAPSHOT;
  #lastText: string | undefined;
  #stamp = '';
  #settling: NodeJS.Timeout | undefined;

  constructor(source: LocalSource, events: MeshSourceEvents) {
    this.#source = source;
    this.#events = events;
  }

  /** The first reading: the problems when it can't be used, otherwise the whole as a change from nothing. */
  load(): Promise<readonly string[]> {
    const { text, problem } = this.#read();
    return Promise.resolve(text === undefined ? [problem] : this.#take(text));
  }

  /** Takes up changes from now on. */
  follow(): void {
    if (this.#source.kind !== 'file') return;
    const { path } = this.#source;
    try {
      // The folder, because a file that is replaced is another file.
      const watcher = watch(dirname(path), (_event, name) => {
        if (name === null || name === basename(path)) this.#lookSoon();
      });
      watcher.on('error', () => watcher.close());
      this.#closers.push(() => watcher.close());
    } catch {
      // Then the timer alone has to do.
    }
    const timer = setInterval(() => {
      if (this.#stampNow() !== this.#stamp) this.#lookSoon();
    }, LOOK_AGAIN_MS);
    this.#closers.push(
      () => clearInterval(timer),
      () => clearTimeout(this.#settling),
    );
  }

  close(): void {
    for (const close of this.#closers.splice(0)) close();
  }

  #lookSoon(): void {
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => this.#look(), SETTLE_MS);
  }

  #look(): void {
    const { text, problem } = this.#read();
    if (text === undefined) {
      if (this.#lastText !== undefined) this.#events.onRefused([problem]);
      this.#lastText = undefined;
      return;
    }
    if (text === this.#lastText) return;
    const problems = this.#take(text);
    if (problems.length > 0) this.#events.onRefused(problems);
  }

  /** Applies a text when it is right; otherwise says what is wrong with it. */
  #take(text: string): readonly string[] {
    this.#lastText = text;
    const name = this.#source.kind === 'file' ? this.#source.path : 'LOCAL_XDS';
    const parsed = parseLocalConfig(text, name);
    if (parsed.kind === 'refused') {
      return describeProblems(name, parsed.problems).split('\n');
    }
    const delta = diff(this.#snapshot, parsed.snapshot);
    this.#snapshot = parsed.snapshot;
    this.#events.onDelta(delta);
    return [];
  }

  #read(): { readonly text: string | undefined; readonly problem: string } {
    if (this.#source.kind === 'inline') return { text: this.#source.text, problem: '' };
    const { path } = this.#source;
    this.#stamp = this.#stampNow();
    try {
      const status = statSync(path);
      if (status.isDirectory()) {
        return {
          text: undefined,
          problem: `${path} (LOCAL_XDS_PATH) is a directory: want a file of YAML or JSON`,
        };
      }
      if (status.size > FILE_BYTES_MAX) {
        return { text: undefined, problem: `${path}: larger than ${FILE_BYTES_MAX} bytes` };
      }
      return { text: readFileSync(path, 'utf8'), problem: '' };
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      return {
        text: undefined,
        problem: `cannot read the local configuration (LOCAL_XDS_PATH): ${why}`,
      };
    }
  }

  #stampNow(): string {
    if (this.#source.kind !== 'file') return '';
    try {
      const { mtimeMs, size, ino } = statSync(this.#source.path);
      return `${mtimeMs} ${size} ${ino}`;
    } catch {
      return 'absent';
    }
  }
}
