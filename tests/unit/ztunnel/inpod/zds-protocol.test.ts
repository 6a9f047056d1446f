import { fromBinary } from '@bufbuild/protobuf';
import { expect } from 'chai';
import { describe, it } from 'mocha';

import { WorkloadResponseSchema } from '#api/gen/zds_pb.ts';
import {
  decodeRequest,
  encodeAck,
  encodeHello,
  PACKET_BYTES_MAX,
} from '#ztunnel/inpod/zds-protocol.ts';

const hex = (text: string): Uint8Array => Buffer.from(text.replaceAll(' ', ''), 'hex');

// add { uid: "u1", workload_info: { name: "n", namespace: "s", service_account: "a" } }
const ADD = '0a 0f 0a 02 7531 12 09 0a 01 6e 12 01 73 1a 01 61';

describe('encodeHello()', () => {
  it('is version 1 on the wire', () => {
    expect(Buffer.from(encodeHello()).toString('hex')).to.equal('0801');
  });
});

describe('encodeAck()', () => {
  it('is an ack without an error on the wire', () => {
    expect(Buffer.from(encodeAck('')).toString('hex')).to.equal('0a00');
  });

  it('carries the error text', () => {
    expect(Buffer.from(encodeAck('no')).toString('hex')).to.equal('0a040a026e6f');
  });

  it('cuts a long text between characters, so that the packet fits the reader', () => {
    const packet = encodeAck('€'.repeat(1_000));
    expect(packet.length).to.be.at.most(PACKET_BYTES_MAX);
    const { payload } = fromBinary(WorkloadResponseSchema, packet);
    expect(payload.value?.error).to.equal('€'.repeat(300));
  });
});

describe('decodeRequest()', () => {
  it('reads an added pod', () => {
    expect(decodeRequest(hex(ADD), 1)).to.deep.equal({
      kind: 'add',
      uid: 'u1',
      info: { name: 'n', namespace: 's', serviceAccount: 'a' },
    });
  });

  it('reads a deleted pod, whose uid has the number 2', () => {
    expect(decodeRequest(hex('12 04 12 02 7531'), 0)).to.deep.equal({ kind: 'del', uid: 'u1' });
  });

  it('reads a kept pod', () => {
    expect(decodeRequest(hex('2a 04 0a 02 7531'), 0)).to.deep.equal({ kind: 'keep', uid: 'u1' });
  });

  it('reads the end of the snapshot', () => {
    expect(decodeRequest(hex('1a 00'), 0)).to.deep.equal({ kind: 'snapshot-sent' });
  });

  const broken: ReadonlyArray<readonly [string, string, number, string]> = [
    ['an add without a descriptor', ADD, 0, 'came with 0 file descriptors: want 1'],
    ['an add without workload_info', '0a 04 0a 02 7531', 1, 'has no workload_info'],
    ['an add without a uid', '0a 02 12 00', 1, 'has no uid'],
    ['a del without a uid', '12 00', 0, 'has no uid'],
    ['a del with uid as number 1', '12 04 0a 02 7531', 0, 'has no uid'],
    ['a del with a descriptor', '12 04 12 02 7531', 1, 'came with 1 file descriptors: want 0'],
    ['a snapshot with a descriptor', '1a 00', 1, 'want 0'],
    ['an empty request', '', 0, 'want one of add, del, snapshot_sent, keep'],
    ['a request of an unknown kind', '32 00', 0, 'want one of add, del, snapshot_sent, keep'],
    ['bytes that are no message', 'ff ff ff', 0, 'Cannot read the packet'],
    ['a length beyond the end', '0a 7f 00', 0, 'Cannot read the packet'],
    ['a uid that is no UTF-8', '12 04 12 02 ff fe', 0, 'Cannot read the packet'],
  ];
  for (const [name, bytes, descriptors, want] of broken) {
    it(`says what is wrong with ${name}`, () => {
      expect(decodeRequest(hex(bytes), descriptors)).to.include(want);
    });
  }
});
