import type { Head } from '#codec/http1/head.ts';
import type { Header } from '#codec/http2/field.ts';

import type { RequestMessage, ResponseMessage } from '../request/head.ts';

/** What every HTTP/1 message is: a head, of which only what is asked for becomes text. */
abstract class Http1Message {
  readonly http1: Head;

  constructor(head: Head) {
    this.http1 = head;
  }

  get contentLength(): number {
    return this.http1.contentLength;
  }

  get hasBody(): boolean {
    return this.http1.framing !== 'none';
  }

  header(name: string): string | undefined {
    return this.http1.value(name);
  }

  headerLines(name: string): readonly string[] {
    return this.http1.values(name);
  }

  fields(): readonly Header[] {
    return fieldsOf(this.http1);
  }
}

export class Http1Request extends Http1Message implements RequestMessage {
  path: string;

  /** `head`: for as long as the exchange lasts. */
  constructor(head: Head) {
    super(head);
    this.path = head.path;
  }

  get protocol(): 'HTTP/1.0' | 'HTTP/1.1' {
    return this.http1.minorVersion === 0 ? 'HTTP/1.0' : 'HTTP/1.1';
  }

  get method(): string {
    return this.http1.method;
  }

  get scheme(): 'http' | 'https' {
    return this.http1.scheme === 'https' ? 'https' : 'http';
  }

  get authority(): string {
    return this.http1.authority;
  }

  get upgrade(): string {
    return this.http1.upgrade;
  }
}

/** Its head is the parser's: it is valid during the call that hands it on. */
export class Http1Response extends Http1Message implements ResponseMessage {
  get status(): number {
    return this.http1.status;
  }
}

/** The fields that do not end at this hop, names in lower case. */
function fieldsOf(head: Head): Header[] {
  const fields: Header[] = [];
  for (let index = 0; index < head.count; index++) {
    if (head.hidden[index] === 0) fields.push([head.nameAt(index), head.valueAt(index)]);
  }
  return fields;
}
