import type { IncomingMessage } from 'node:http';

import type { Clock } from '#common/clock.ts';

import { KubeConnectionError, KubeError, statusOfEvent } from './errors.ts';
import type { KubeObject } from './resources.ts';

/** One line of a watch. An ERROR line is thrown as a KubeError instead. */
export type WatchEvent<T extends KubeObject = KubeObject> =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: T }
  /** Nothing has happened up to this version; says also where the initial events end. */
  | { readonly type: 'BOOKMARK'; readonly object: Bookmark };

export interface Bookmark {
  readonly metadata: {
    readonly resourceVersion: string;
    readonly annotations?: Readonly<Record<string, string>>;
  };
}

// etcd refuses objects of more than 1.5 MB; with both forms of an escaped text this leaves room.
const LINE_BYTES_MAX = 32 * 1024 * 1024;
const NEWLINE = 0x0a;

/** Whether all objects that existed when a watch with `sendInitialEvents` began have now been sent. */
export function endsInitialEvents(event: WatchEvent): boolean {
  return (
    event.type === 'BOOKMARK' &&
    event.object.metadata.annotations?.['k8s.io/initial-events-end'] === 'true'
  );
}

/**
 * Cuts a stream into lines. The end of the stream may be an accident: what stands after the last
 * newline is half an event and never given out.
 */
export class LineSplitter {
  #rest: Buffer[] = [];
  #restBytes = 0;

  /** @throws Error for a line of more than 32 MiB. */
  push(chunk: Buffer): string[] {
    const lines: string[] = [];
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      lines.push(this.#complete(chunk.subarray(start, end)));
      start = end + 1;
    }
    if (start < chunk.length) this.#keep(chunk.subarray(start));
    return lines;
  }

  #complete(end: Buffer): string {
    if (this.#restBytes === 0) return end.toString('utf8');
    const line = Buffer.concat([...this.#rest, end]).toString('utf8');
    this.#rest = [];
    this.#restBytes = 0;
    return line;
  }

  #keep(piece: Buffer): void {
    this.#restBytes += piece.length;
    if (this.#restBytes > LINE_BYTES_MAX) {
      throw new Error(`a line is longer than ${LINE_BYTES_MAX} bytes`);
    }
    this.#rest.push(piece);
  }
}

/**
 * Reads one line.
 *
 * @throws KubeError for an ERROR event. @throws KubeConnectionError for a line that is no event.
 */
export function parseWatchLine<T extends KubeObject>(line: string): WatchEvent<T> {
  let event: { readonly type?: unknown; readonly object?: unknown };
  try {
    event = JSON.parse(line) as typeof event;
  } catch (cause) {
    throw new KubeConnectionError('Cannot read an event of a watch: it is not JSON', { cause });
  }
  switch (event.type) {
    case 'ADDED':
    case 'MODIFIED':
    case 'DELETED':
      return { type: event.type, object: event.object as T };
    case 'BOOKMARK':
      return { type: 'BOOKMARK', object: event.object as Bookmark };
    case 'ERROR':
      throw new KubeError(statusOfEvent(event.object));
    default:
      throw new KubeConnectionError(
        `Cannot read an event of a watch: its type is ${JSON.stringify(event.type)}, want ADDED, MODIFIED, DELETED, BOOKMARK or ERROR`,
      );
  }
}

/**
 * The events of an open watch. Ends when the server ends it or `signal` aborts; throws when it breaks
 * off, brings an ERROR, or when no byte has come for `silenceMs`: the connection is then as good as
 * dead, whatever the kernel says of it.
 */
export async function* readWatch<T extends KubeObject>(
  answer: IncomingMessage,
  options: { readonly silenceMs: number; readonly clock: Clock; readonly signal: AbortSignal },
): AsyncGenerator<WatchEvent<T>, void, undefined> {
  const { silenceMs, clock, signal } = options;
  const splitter = new LineSplitter();
  const stall = (): void => {
    answer.destroy(new Error(`no byte came for ${Math.round(silenceMs / 1000)} s`));
  };
  let alarm = clock.setTimer(silenceMs, stall);
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      alarm[Symbol.dispose]();
      alarm = clock.setTimer(silenceMs, stall);
      for (const line of splitter.push(chunk)) {
        if (signal.aborted) return;
        if (line !== '') yield parseWatchLine<T>(line);
      }
    }
  } catch (cause) {
    if (signal.aborted) return;
    if (cause instanceof KubeError || cause instanceof KubeConnectionError) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new KubeConnectionError(`The watch broke off: ${why}`, { cause });
  } finally {
    alarm[Symbol.dispose]();
    answer.destroy();
  }
}
