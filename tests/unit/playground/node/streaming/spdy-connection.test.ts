import { once } from 'node:events';
import { duplexPair } from 'node:stream';

import { expect } from 'chai';
import { describe, it } from 'mocha';

import { SpdyConnection, type SpdyStream } from '#playground/node/streaming/spdy-connection.ts';
import { HeaderCompressor } from '#playground/node/streaming/spdy-headers.ts';

function control(type: number, body: Buffer): Buffer {
  const head = Buffer.from([0x80, 3, 0, type, 0, 0, 0, 0]);
  head.writeUIntBE(body.length, 5, 3);
  return Buffer.concat([head, body]);
}

function data(id: number, flags: number, text: string): Buffer {
  const head = Buffer.from([0, 0, 0, id, flags, 0, 0, text.length]);
  return Buffer.concat([head, Buffer.from(text)]);
}

async function opening(
  compressor: HeaderCompressor,
  id: number,
  streamType: string,
): Promise<Buffer> {
  const block = await compressor.compress(new Map([['streamtype', streamType]]));
  const fixed = Buffer.from([0, 0, 0, id, 0, 0, 0, 0, 0, 0]);
  return control(1, Buffer.concat([fixed, block]));
}

describe('SpdyConnection', () => {
  it('gives streams with their headers, their data and their end, however the bytes are cut', async () => {
    const [client, server] = duplexPair();
    const compressor = new HeaderCompressor();
    const seen: string[] = [];
    const ended = Promise.withResolvers<void>();
    const connection = new SpdyConnection(server, Buffer.alloc(0), {
      onStream: (stream: SpdyStream) => {
        const type = stream.headers.get('streamtype') ?? '';
        seen.push(`open ${type}`);
        stream.onData = (chunk) => seen.push(`${type}: ${chunk.toString()}`);
        stream.onEnd = () => {
          seen.push(`end ${type}`);
          connection.write(stream, Buffer.from('answer'));
          connection.end(stream);
          ended.resolve();
        };
      },
      onDrain: () => undefined,
      onClose: () => undefined,
    });
    const bytes = Buffer.concat([
      await opening(compressor, 1, 'error'),
      await opening(compressor, 3, 'stdin'),
      data(3, 0, 'hello'),
      data(3, 1, ''),
    ]);
    for (const byte of bytes) client.write(Buffer.from([byte]));
    await ended.promise;
    expect(seen).to.deep.equal(['open error', 'open stdin', 'stdin: hello', 'end stdin']);
    const heard: Buffer[] = [];
    for (let chunk = client.read(); chunk !== null; chunk = client.read()) heard.push(chunk);
    const all = Buffer.concat(heard);
    // Two replies come first.
    expect(all.subarray(0, 4)).to.deep.equal(Buffer.from([0x80, 3, 0, 2]));
    expect(all.subarray(-22)).to.deep.equal(Buffer.concat([data(3, 0, 'answer'), data(3, 1, '')]));
    client.destroy();
    server.destroy();
  });

  it('answers a ping with the same', async () => {
    const [client, server] = duplexPair();
    const idle = { onStream: () => undefined, onDrain: () => undefined, onClose: () => undefined };
    const ping = control(6, Buffer.from([0, 0, 0, 7]));
    const connection = new SpdyConnection(server, ping, idle);
    const [answer] = (await once(client, 'data')) as [Buffer];
    expect(answer).to.deep.equal(ping);
    connection.close();
    client.destroy();
  });

  it('ends a connection that does not speak its language', async () => {
    const [client, server] = duplexPair();
    const closed = Promise.withResolvers<void>();
    const events = { onStream: () => undefined, onDrain: () => undefined };
    const connection = new SpdyConnection(server, Buffer.alloc(0), {
      ...events,
      onClose: () => closed.resolve(),
    });
    // A frame of 16 MB.
    client.write(Buffer.from([0, 0, 0, 1, 0, 0xff, 0xff, 0xff]));
    await closed.promise;
    expect(server.destroyed).to.equal(true);
    connection.close();
    client.destroy();
  });
});
