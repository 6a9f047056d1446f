import { type Answer, type ApiResponse, objectAnswer, type ResponseHeaders } from './exchange.ts';
import { JSON_TYPE } from './negotiation.ts';

/** A list without its items. */
export interface ListHead {
  readonly kind: string;
  readonly apiVersion: string;
  readonly metadata: unknown;
}

/** Shorter lists are one text: clients like to know its length. */
const STREAMED_ITEMS_MIN = 100;
/** Written at once, in characters. */
const CHUNK_LENGTH = 64 << 10;

/** A list as JSON. A long one is written as the client takes it: as one text it would be in memory several times. */
export function listAnswer(head: ListHead, items: readonly unknown[]): Answer {
  if (items.length < STREAMED_ITEMS_MIN) return objectAnswer({ ...head, items });
  return {
    kind: 'stream',
    run: (response, headers) => new ListWriter(response, items).start(head, headers),
  };
}

class ListWriter {
  readonly #response: ApiResponse;
  readonly #items: readonly unknown[];
  #next = 0;

  constructor(response: ApiResponse, items: readonly unknown[]) {
    this.#response = response;
    this.#items = items;
  }

  start({ kind, apiVersion, metadata }: ListHead, headers: ResponseHeaders): void {
    this.#response.writeHead(200, { ...headers, 'content-type': JSON_TYPE });
    this.#response.on('drain', () => this.#write());
    const begin = JSON.stringify({ kind, apiVersion, metadata });
    this.#response.write(`${begin.slice(0, -1)},"items":[`);
    this.#write();
  }

  /** Until the client has enough for now. */
  #write(): void {
    while (this.#next < this.#items.length) {
      if (this.#response.destroyed) return;
      if (!this.#response.write(this.#chunk())) return;
    }
    if (!this.#response.writableEnded) this.#response.end(']}');
  }

  #chunk(): string {
    let text = '';
    while (this.#next < this.#items.length && text.length < CHUNK_LENGTH) {
      text += `${this.#next === 0 ? '' : ','}${JSON.stringify(this.#items[this.#next])}`;
      this.#next += 1;
    }
    return text;
  }
}
