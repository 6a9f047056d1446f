/** Resource record types that the name server knows (RFC 1035 section 3.2.2, RFC 2782). */
export const TYPE_A = 1;
export const TYPE_CNAME = 5;
export const TYPE_SRV = 33;
const CLASS_IN = 1;

export const NO_ERROR = 0;
export const FORMAT_ERROR = 1;
export const NAME_ERROR = 3;
export const NOT_IMPLEMENTED = 4;

export interface DnsQuestion {
  readonly id: number;
  readonly recursionDesired: boolean;
  readonly operation: number;
  /** In lower case, without the dot at its end. */
  readonly name: string;
  readonly type: number;
  /** The question as it came. */
  readonly raw: Buffer;
}

/** With a `name` when it is not of the name that was asked for. */
export type DnsRecord = { readonly name?: string } & (
  | { readonly type: typeof TYPE_A; readonly ip: string }
  | { readonly type: typeof TYPE_CNAME; readonly target: string }
  | { readonly type: typeof TYPE_SRV; readonly port: number; readonly target: string }
);

const HEADER_BYTES = 12;
/** Of a record in an answer; as the cluster's name servers have it. */
const TTL_SECONDS = 5;

/** Reads a query with one question; undefined when it is none. */
export function readQuestion(message: Buffer): DnsQuestion | undefined {
  if (message.length < HEADER_BYTES || message.readUInt16BE(4) !== 1) return undefined;
  const flags = message.readUInt16BE(2);
  if ((flags & 0x8000) !== 0) return undefined;
  const labels: string[] = [];
  let at = HEADER_BYTES;
  for (;;) {
    const length = message[at];
    // A question has no pointers: there is nothing before it to point to.
    if (length === undefined || length > 63 || at + length + 1 > message.length) return undefined;
    at += 1;
    if (length === 0) break;
    labels.push(message.toString('latin1', at, at + length).toLowerCase());
    at += length;
  }
  if (at + 4 > message.length) return undefined;
  return {
    id: message.readUInt16BE(0),
    recursionDesired: (flags & 0x0100) !== 0,
    operation: (flags >> 11) & 15,
    name: labels.join('.'),
    type: message.readUInt16BE(at),
    raw: message.subarray(HEADER_BYTES, at + 4),
  };
}

/** Writes an answer of at most `sizeMax` bytes: records that don't fit are left out, and the answer says so. */
export function writeAnswer(
  question: DnsQuestion,
  code: number,
  records: readonly DnsRecord[],
  sizeMax: number,
): Buffer {
  const parts: Buffer[] = [];
  let size = HEADER_BYTES + question.raw.length;
  let truncated = false;
  for (const record of records) {
    const bytes = writeRecord(record);
    if (size + bytes.length > sizeMax) {
      truncated = true;
      break;
    }
    size += bytes.length;
    parts.push(bytes);
  }
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt16BE(question.id, 0);
  const flags = 0x8480 | (question.recursionDesired ? 0x0100 : 0) | (truncated ? 0x0200 : 0) | code;
  header.writeUInt16BE(flags, 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(parts.length, 6);
  return Buffer.concat([header, question.raw, ...parts]);
}

function writeRecord(record: DnsRecord): Buffer {
  const head = Buffer.alloc(10);
  head.writeUInt16BE(record.type, 0);
  head.writeUInt16BE(CLASS_IN, 2);
  head.writeUInt32BE(TTL_SECONDS, 4);
  const data = recordData(record);
  head.writeUInt16BE(data.length, 8);
  // The question, and its name, follow the header.
  const asked = Buffer.from([0xc0, HEADER_BYTES]);
  return Buffer.concat([record.name === undefined ? asked : writeName(record.name), head, data]);
}

function recordData(record: DnsRecord): Buffer {
  switch (record.type) {
    case TYPE_A:
      return Buffer.from(record.ip.split('.').map(Number));
    case TYPE_CNAME:
      return writeName(record.target);
    case TYPE_SRV: {
      const head = Buffer.alloc(6);
      head.writeUInt16BE(100, 2);
      head.writeUInt16BE(record.port, 4);
      return Buffer.concat([head, writeName(record.target)]);
    }
  }
}

function writeName(name: string): Buffer {
  const labels = name.split('.').map((label) => {
    const bytes = Buffer.from(label, 'latin1');
    return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  });
  return Buffer.concat([...labels, Buffer.from([0])]);
}
