import { type Field, FieldKind, type Header } from './field.ts';
import type { FieldSink } from './hpack-decoder.ts';

/**
 * Fields of one list, whatever their size: every field costs its receiver a look-up, a copy and a rule. The
 * largest real requests (cookies split into crumbs, tracing of several vendors) stay below 100.
 */
export const FIELDS_MAX = 128;

/**
 * Collects the fields of one header block and judges them by RFC 9113 section 8: which pseudo headers there
 * are, in which order, and what must not be there at all. One per connection, used again for each block.
 */
export class HeaderList implements FieldSink {
  readonly #sizeMax: number;
  headers: Header[] = [];
  /** More or larger fields than allowed. The rest of the block was still decoded: the table needs it. */
  tooLarge = false;
  /** The value of content-length, -1 without one. */
  contentLength = -1;
  method = '';
  status = 0;
  #size = 0;
  #malformed = false;
  #sawRegular = false;
  /** A bit per kind of pseudo header. */
  #pseudo = 0;
  #scheme = '';
  #authority = '';
  #path = '';
  #host: string | undefined;

  constructor(sizeMax: number) {
    this.#sizeMax = sizeMax;
  }

  /** Forgets the last block. `headers` is a new array: the last one belongs to whoever got it. */
  clear(): void {
    this.headers = [];
    this.tooLarge = false;
    this.contentLength = -1;
    this.method = '';
    this.status = 0;
    this.#size = 0;
    this.#malformed = false;
    this.#sawRegular = false;
    this.#pseudo = 0;
    this.#scheme = '';
    this.#authority = '';
    this.#path = '';
    this.#host = undefined;
  }

  addField(field: Field): void {
    this.#size += field.size;
    if (this.#size > this.#sizeMax || this.headers.length === FIELDS_MAX) {
      this.tooLarge = true;
      return;
    }
    this.headers.push(field.header);
    const { kind } = field;
    if (kind >= FieldKind.method && kind <= FieldKind.unknownPseudo) this.#addPseudo(field);
    else {
      this.#sawRegular = true;
      if (kind !== FieldKind.regular) this.#addSpecial(field);
    }
  }

  /** May this be a request? (RFC 9113 section 8.3.1, for CONNECT 8.5.) */
  isRequest(): boolean {
    if (this.#malformed) return false;
    if (this.method === 'CONNECT')
      return this.#pseudo === CONNECT_PSEUDO && this.#authority !== '' && this.#hostAgrees();
    if ((this.#pseudo & ~AUTHORITY_BIT) !== REQUEST_PSEUDO) return false;
    if (this.#path === '*' ? this.method !== 'OPTIONS' : this.#path[0] !== '/') return false;
    return (
      METHOD.test(this.method) &&
      SCHEME.test(this.#scheme) &&
      PATH.test(this.#path) &&
      this.#hostAgrees()
    );
  }

  /** May this be a response? (RFC 9113 section 8.3.2.) 101 has no meaning in HTTP/2 (section 8.6). */
  isResponse(): boolean {
    return (
      !this.#malformed && this.#pseudo === STATUS_BIT && this.status >= 100 && this.status !== 101
    );
  }

  /** May this be a trailer section? (RFC 9113 section 8.1.) */
  isTrailers(): boolean {
    return !this.#malformed && this.#pseudo === 0;
  }

  #addPseudo(field: Field): void {
    const bit = 1 << field.kind;
    if (this.#sawRegular || (this.#pseudo & bit) !== 0) this.#malformed = true;
    this.#pseudo |= bit;
    const value = field.header[1];
    if (field.kind === FieldKind.method) this.method = value;
    else if (field.kind === FieldKind.scheme) this.#scheme = value;
    else if (field.kind === FieldKind.authority) this.#authority = value;
    else if (field.kind === FieldKind.path) this.#path = value;
    else if (field.kind !== FieldKind.status) this.#malformed = true;
    else if (STATUS.test(value)) this.status = Number(value);
  }

  #addSpecial(field: Field): void {
    const value = field.header[1];
    if (field.kind === FieldKind.contentLength) {
      if (this.contentLength >= 0 || !CONTENT_LENGTH.test(value)) this.#malformed = true;
      this.contentLength = Number(value);
    } else if (field.kind === FieldKind.host) {
      if (this.#host !== undefined && this.#host !== value) this.#malformed = true;
      this.#host = value;
    } else if (field.kind !== FieldKind.te || value !== 'trailers') this.#malformed = true;
  }

  /** Whoever reads `host` and whoever reads `:authority` must see the same place. */
  #hostAgrees(): boolean {
    if (this.#authority !== '' && !AUTHORITY.test(this.#authority)) return false;
    if (this.#host === undefined) return true;
    if ((this.#pseudo & AUTHORITY_BIT) === 0)
      return this.#host === '' || AUTHORITY.test(this.#host);
    return this.#host.toLowerCase() === this.#authority.toLowerCase();
  }
}

const AUTHORITY_BIT = 1 << FieldKind.authority;
const STATUS_BIT = 1 << FieldKind.status;
const CONNECT_PSEUDO = (1 << FieldKind.method) | AUTHORITY_BIT;
const REQUEST_PSEUDO = (1 << FieldKind.method) | (1 << FieldKind.scheme) | (1 << FieldKind.path);

const METHOD = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const SCHEME = /^[A-Za-z][A-Za-z0-9+\-.]*$/;
/**
 * A host, an address in brackets, and at most one port. No user information: "@" is missing (RFC 9113 section 8.3.1). No
 * comma: there is one host.
 */
const AUTHORITY =
  /^(?:\[[!$%&'()*+\-.:;=_~0-9A-Za-z]+\]|[!$%&'()*+\-.;=_~0-9A-Za-z]+)(?::[0-9]*)?$/;
/** No blanks, no fragment. */
const PATH = /^[\x21\x22\x24-\x7e\x80-\xff]+$/;
const STATUS = /^[1-9][0-9]{2}$/;
/** 15 digits keep the number exact. */
const CONTENT_LENGTH = /^[0-9]{1,15}$/;
