import { expect } from 'chai';
import { describe, it } from 'mocha';

import { MessageCounter } from '#waypoint/exchange/grpc-messages.ts';

const message = (length: number): Buffer => {
  const bytes = Buffer.alloc(5 + length, 0xff);
  bytes[0] = 1;
  bytes.writeUInt32BE(length, 1);
  return bytes;
};

function countIn(body: Buffer, pieceBytes: number): number {
  const counter = new MessageCounter();
  for (let at = 0; at < body.length; at += pieceBytes) {
    counter.take(body, at, Math.min(at + pieceBytes, body.length));
  }
  return counter.count;
}

describe('MessageCounter', () => {
  const body = Buffer.concat([message(0), message(3), message(300), message(70_000), message(0)]);

  it('counts the same however the body is cut', () => {
    for (const pieceBytes of [1, 2, 3, 4, 5, 6, 7, 255, 4_096, body.length]) {
      expect(countIn(body, pieceBytes), `pieces of ${pieceBytes}`).to.equal(5);
    }
  });

  it('counts a message whose prefix is there, and none of which only a part of it is', () => {
    const counter = new MessageCounter();
    counter.take(message(9), 0, 4);
    expect(counter.count).to.equal(0);
    counter.take(message(9), 4, 5);
    expect(counter.count).to.equal(1);
    counter.take(message(9), 5, 14);
    expect(counter.count).to.equal(1);
  });

  it('reads only the part of the bytes that it is told', () => {
    const counter = new MessageCounter();
    const bytes = Buffer.concat([Buffer.from('before'), message(2), Buffer.from('after')]);
    counter.take(bytes, 6, 13);
    counter.take(message(1), 0, 6);
    expect(counter.count).to.equal(2);
  });

  it('counts nothing more of what is no gRPC', () => {
    const counter = new MessageCounter();
    counter.stop();
    counter.take(Buffer.from('<html>not found</html>'), 0, 22);
    expect(counter.count).to.equal(0);
  });

  it('takes lengths of 32 bits', () => {
    const counter = new MessageCounter();
    counter.take(Buffer.from([0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3]), 0, 8);
    expect(counter.count).to.equal(1);
    const inPieces = new MessageCounter();
    for (const byte of [0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]) {
      inPieces.take(Buffer.from([byte]), 0, 1);
    }
    expect(inPieces.count).to.equal(1);
  });
});
