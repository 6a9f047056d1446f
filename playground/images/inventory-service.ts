// The gRPC service of samples/bookinfo/inventory.proto, for who serves and who calls it.
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import type { MethodDefinition } from '@grpc/grpc-js';

export const INVENTORY_PORT = 9090;

export interface CountRequest {
  readonly book: number;
}

export interface CountReply {
  readonly copies: number;
  readonly pod: string;
}

export const COUNT: MethodDefinition<CountRequest, CountReply> = {
  path: '/bookinfo.Inventory/Count',
  requestStream: false,
  responseStream: false,
  requestSerialize: ({ book }) => Buffer.from(field(1).int32(book).finish()),
  requestDeserialize: (bytes) => {
    const request = { book: 0 };
    readFields(bytes, (number, reader) => {
      if (number !== 1) return false;
      request.book = reader.int32();
      return true;
    });
    return request;
  },
  responseSerialize: ({ copies, pod }) => {
    const writer = field(1).int32(copies);
    return Buffer.from(writer.tag(2, WireType.LengthDelimited).string(pod).finish());
  },
  responseDeserialize: (bytes) => {
    const reply = { copies: 0, pod: '' };
    readFields(bytes, (number, reader) => {
      if (number === 1) reply.copies = reader.int32();
      else if (number === 2) reply.pod = reader.string();
      else return false;
      return true;
    });
    return reply;
  },
};

function field(number: number): BinaryWriter {
  return new BinaryWriter().tag(number, WireType.Varint);
}

/** `read`: false for a field that it does not know. */
function readFields(bytes: Buffer, read: (number: number, reader: BinaryReader) => boolean): void {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    if (!read(number, reader)) reader.skip(type);
  }
}
