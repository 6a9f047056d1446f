import type { Status } from './errors.ts';
import type { ApiResponse, ResponseHeaders } from './exchange.ts';
import { JSON_TYPE, type ResponseForm } from './negotiation.ts';
import type { ApiObject } from './object.ts';
import { columnsOf, partialObject, type TableKind, type TableOptions, tableOf } from './table.ts';
import type { Columns } from './table-columns.ts';
import type { WatchEvent, WatchSink } from './watching.ts';

export interface WatchStreamOptions {
  readonly form: ResponseForm;
  readonly kind: TableKind;
  readonly includeObject: TableOptions['includeObject'];
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/**
 * A watcher that has this much waiting for it is cut, in bytes: it lists again. More than the
 * objects of a thousand pods, which a new watcher may be sent at once.
 */
const PENDING_BYTES_MAX = 32 * 1024 * 1024;

/** Writes the events of one watch as they come: one JSON object a line. */
export class WatchStream implements WatchSink {
  readonly #response: ApiResponse;
  readonly #options: WatchStreamOptions;
  readonly #columns: Columns | undefined;
  #definitionsSent = false;
  #ended = false;

  constructor(response: ApiResponse, headers: ResponseHeaders, options: WatchStreamOptions) {
    this.#response = response;
    this.#options = options;
    this.#columns = options.form.kind === 'table' ? columnsOf(options.kind) : undefined;
    response.writeHead(200, { ...headers, 'content-type': JSON_TYPE });
    // The client may wait a long time for the first event: it wants to know that we are watching.
    response.write('');
  }

  event(event: WatchEvent): void {
    if (this.#ended) return;
    this.#response.write(this.#line(event));
    if (this.#response.writableLength > PENDING_BYTES_MAX) {
      this.#ended = true;
      this.#response.destroy();
    }
  }

  end(status?: Status): void {
    if (this.#ended) return;
    this.#ended = true;
    if (status !== undefined)
      this.#response.write(`${JSON.stringify({ type: 'ERROR', object: status })}\n`);
    this.#response.end();
  }

  #line(event: WatchEvent): string {
    const { form } = this.#options;
    if (form.kind === 'object') return lines.of(event);
    const object = event.object as ApiObject;
    const shown =
      form.kind === 'metadata' ? partialObject(object, form.version) : this.#table(event, object);
    return `${JSON.stringify({ type: event.type, object: shown })}\n`;
  }

  #table(event: WatchEvent, object: ApiObject): unknown {
    const { form, includeObject, now } = this.#options;
    if (this.#columns === undefined || form.kind !== 'table') return object;
    const withDefinitions = !this.#definitionsSent;
    this.#definitionsSent = true;
    const { resourceVersion } = object.metadata;
    const objects = event.type === 'BOOKMARK' ? [] : [object];
    return tableOf(
      this.#columns,
      objects,
      { resourceVersion },
      { version: form.version, includeObject, withDefinitions, nowMs: now() },
    );
  }
}

/** An event goes to all its watchers in one go: it is written out once for all of them. */
class LastLine {
  #event: WatchEvent | undefined;
  #line = '';

  of(event: WatchEvent): string {
    if (this.#event?.object !== event.object || this.#event.type !== event.type) {
      this.#line = `{"type":"${event.type}","object":${JSON.stringify(event.object)}}\n`;
      this.#event = event;
    }
    return this.#line;
  }
}

const lines = new LastLine();
