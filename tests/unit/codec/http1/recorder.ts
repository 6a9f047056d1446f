import type { Http1Events } from '#codec/http1/events.ts';
import type { Http1Fault } from '#codec/http1/faults.ts';
import type { Head } from '#codec/http1/head.ts';

export type Event =
  | ['request', string, string, Fields, Facts]
  | ['response', number, string, Fields, Facts]
  | ['body', string]
  | ['end', Fields]
  | ['fault', Http1Fault];

type Fields = readonly (readonly [name: string, value: string])[];
type Facts = Readonly<Record<string, unknown>>;

/** Keeps what a codec tells, pieces of a body joined: how many there are depends on how the input was cut. */
export class Recorder implements Http1Events {
  events: Event[] = [];
  /** Called behind each head and end. */
  afterwards: ((event: Event) => void) | undefined;

  onHead(head: Head): void {
    this.#add(
      head.kind === 'request'
        ? ['request', head.method, head.path, fieldsOf(head), factsOf(head)]
        : ['response', head.status, head.reason, fieldsOf(head), factsOf(head)],
    );
  }

  onBody(bytes: Buffer, start: number, end: number): void {
    if (end <= start) throw new Error('an empty piece of a body');
    const text = bytes.toString('latin1', start, end);
    const last = this.events.at(-1);
    if (last?.[0] === 'body') last[1] += text;
    else this.events.push(['body', text]);
  }

  onEnd(trailers: Head | undefined): void {
    this.#add(['end', trailers === undefined ? [] : fieldsOf(trailers)]);
  }

  onFault(fault: Http1Fault): void {
    this.#add(['fault', fault]);
  }

  take(): Event[] {
    const { events } = this;
    this.events = [];
    return events;
  }

  /** The same, without heads' fields and facts. */
  brief(): unknown[] {
    return this.take().map((event) =>
      event[0] === 'request' || event[0] === 'response' ? event.slice(0, 3) : event,
    );
  }

  #add(event: Event): void {
    this.events.push(event);
    this.afterwards?.(event);
  }
}

/** The fields that go on. */
export function fieldsOf(head: Head): Fields {
  const fields: [string, string][] = [];
  for (let i = 0; i < head.count; i++)
    if (head.hidden[i] === 0) fields.push([head.nameAt(i), head.valueAt(i)]);
  return fields;
}

function factsOf(head: Head): Facts {
  const { framing, contentLength, keepAlive, upgrade, expectsContinue, acceptsTrailers } = head;
  const { authority, form, scheme, minorVersion } = head;
  const facts = { framing, contentLength, keepAlive, upgrade, expectsContinue, acceptsTrailers };
  return {
    ...facts,
    ...(head.kind === 'request' ? { authority, form, scheme } : {}),
    minorVersion,
  };
}
