/** The TCP part of one recorded packet. */
export interface TcpPacket {
  /** `address:port`, the address as hexadecimal digits. */
  readonly from: string;
  readonly to: string;
  readonly fromPort: number;
  readonly toPort: number;
  readonly sequence: number;
  readonly isSyn: boolean;
  readonly payload: Buffer;
}

/** How many TLS records of each type a stream holds (RFC 8446, section 5.1). */
export type RecordCounts = ReadonlyMap<TlsRecordType, number>;
export type TlsRecordType = 'handshake' | 'change cipher spec' | 'alert' | 'application data';

const PCAP_HEADER_BYTES = 24;
const PACKET_HEADER_BYTES = 16;
const ETHERNET_BYTES = 14;
const IPV6_BYTES = 40;
const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_IPV6 = 0x86dd;
const PROTOCOL_TCP = 6;
const FLAG_SYN = 0x02;

const recordTypes: ReadonlyMap<number, TlsRecordType> = new Map([
  [20, 'change cipher spec'],
  [21, 'alert'],
  [22, 'handshake'],
  [23, 'application data'],
]);
const RECORD_HEADER_BYTES = 5;

/** Every TCP packet of a little-endian pcap file of Ethernet frames; other packets are left out. */
export function readTcpPackets(pcap: Buffer): TcpPacket[] {
  const packets: TcpPacket[] = [];
  let at = PCAP_HEADER_BYTES;
  while (at + PACKET_HEADER_BYTES <= pcap.length) {
    const length = pcap.readUInt32LE(at + 8);
    at += PACKET_HEADER_BYTES;
    const packet = readFrame(pcap.subarray(at, at + length));
    if (packet !== undefined) packets.push(packet);
    at += length;
  }
  return packets;
}

/**
 * The bytes of each direction of each connection that began in the recording, by `from > to`, in
 * order; what was sent twice appears once.
 */
export function joinStreams(packets: readonly TcpPacket[]): Map<string, Buffer> {
  const starts = new Map<string, number>();
  const streams = new Map<string, Buffer>();
  for (const packet of packets) {
    const name = `${packet.from} > ${packet.to}`;
    if (packet.isSyn) {
      starts.set(name, packet.sequence + 1);
      streams.set(name, Buffer.alloc(0));
    }
    const known = streams.get(name);
    if (known === undefined || packet.payload.length === 0) continue;
    const offset = (packet.sequence - (starts.get(name) ?? 0)) >>> 0;
    if (offset + packet.payload.length <= known.length) continue;
    streams.set(name, Buffer.concat([known.subarray(0, offset), packet.payload]));
  }
  return streams;
}

/** Counts the records of a stream; undefined when it is anything else than TLS records from its first byte on. */
export function countTlsRecords(stream: Buffer): RecordCounts | undefined {
  const counts = new Map<TlsRecordType, number>();
  let at = 0;
  while (at + RECORD_HEADER_BYTES <= stream.length) {
    const type = recordTypes.get(stream.readUInt8(at));
    if (type === undefined || stream.readUInt8(at + 1) !== 3) return undefined;
    counts.set(type, (counts.get(type) ?? 0) + 1);
    at += RECORD_HEADER_BYTES + stream.readUInt16BE(at + 3);
  }
  return counts;
}

/** The records of all streams, as text; throws when one carries anything else than TLS, or when there is none. */
export function tlsRecordsOf(streams: ReadonlyMap<string, Buffer>): string {
  if (streams.size === 0) throw new Error('No tunnel was opened while the capture ran');
  const sum = new Map<TlsRecordType, number>();
  for (const [name, stream] of streams) {
    const counts = countTlsRecords(stream);
    if (counts === undefined) throw new Error(`${name} carries something that is not TLS`);
    for (const [type, count] of counts) sum.set(type, (sum.get(type) ?? 0) + count);
  }
  return [...sum].map(([type, count]) => `${count} ${type}`).join(', ');
}

/** Hexadecimal digits and text of some bytes, 16 to a line, as a packet viewer shows them. */
export function hexDump(bytes: Buffer): string {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const part = bytes.subarray(at, at + 16);
    const digits = part.toString('hex').replace(/(..)(?=.)/g, '$1 ');
    const text = part.toString('latin1').replace(/[^\x20-\x7e]/g, '.');
    lines.push(`${digits.padEnd(47)}  ${text}`);
  }
  return lines.join('\n');
}

function readFrame(frame: Buffer): TcpPacket | undefined {
  if (frame.length < ETHERNET_BYTES) return undefined;
  const type = frame.readUInt16BE(12);
  const packet = frame.subarray(ETHERNET_BYTES);
  if (type === ETHERTYPE_IPV4 && packet.length >= 20 && packet[9] === PROTOCOL_TCP) {
    const header = (packet.readUInt8(0) & 0x0f) * 4;
    const end = packet.readUInt16BE(2) || packet.length; // 0: longer than the field can say
    return readSegment(packet.subarray(header, end), hex(packet, 12, 16), hex(packet, 16, 20));
  }
  if (type === ETHERTYPE_IPV6 && packet.length >= IPV6_BYTES && packet[6] === PROTOCOL_TCP) {
    const end = packet.readUInt16BE(4) === 0 ? packet.length : IPV6_BYTES + packet.readUInt16BE(4);
    return readSegment(packet.subarray(IPV6_BYTES, end), hex(packet, 8, 24), hex(packet, 24, 40));
  }
  return undefined;
}

function readSegment(segment: Buffer, source: string, target: string): TcpPacket | undefined {
  if (segment.length < 20) return undefined;
  const fromPort = segment.readUInt16BE(0);
  const toPort = segment.readUInt16BE(2);
  return {
    from: `${source}:${fromPort}`,
    to: `${target}:${toPort}`,
    fromPort,
    toPort,
    sequence: segment.readUInt32BE(4),
    isSyn: (segment.readUInt8(13) & FLAG_SYN) !== 0,
    payload: segment.subarray((segment.readUInt8(12) >> 4) * 4),
  };
}

function hex(bytes: Buffer, start: number, end: number): string {
  return bytes.toString('hex', start, end);
}
