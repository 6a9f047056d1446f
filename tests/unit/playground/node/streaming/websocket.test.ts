import { once } from 'node:events';
import { duplexPair } from 'node:stream';

import { expect } from 'chai';
import { describe, it } from 'mocha';

import { acceptKey, WebSocketConnection } from '#playground/node/streaming/websocket.ts';

/** A frame of a client: masked. */
function frame(first: number, payload: string): Buffer {
  const mask = [1, 2, 3, 4];
  const bytes = Array.from(Buffer.from(payload), (byte, index) => byte ^ (mask[index % 4] ?? 0));
  const length = Buffer.alloc(2);
  length.writeUInt16BE(payload.length);
  const head = payload.length < 126 ? [0x80 | payload.length] : [0x80 | 126, ...length];
  return Buffer.from([first, ...head, ...mask, ...bytes]);
}

describe('WebSocketConnection', () => {
  it('acceptKey() answers as RFC 6455 shows it', () => {
    expect(acceptKey('dGhlIHNhbXBsZSBub25jZQ==')).to.equal('s3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
  });

  it('puts messages together, whole, in pieces, and with a ping in between', async () => {
    const [client, server] = duplexPair();
    const messages: string[] = [];
    const last = Promise.withResolvers<void>();
    const connection = new WebSocketConnection(server, frame(0x82, 'early'), {
      onMessage: (message) => {
        messages.push(message.toString());
        if (messages.length === 3) last.resolve();
      },
      onDrain: () => undefined,
      onClose: () => undefined,
    });
    const long = 'x'.repeat(300);
    const bytes = Buffer.concat([
      frame(0x02, 'one, '),
      frame(0x89, 'ping'),
      frame(0x80, 'two'),
      frame(0x82, long),
    ]);
    for (const byte of bytes) client.write(Buffer.from([byte]));
    await last.promise;
    expect(messages).to.deep.equal(['early', 'one, two', long]);
    expect(client.read()).to.deep.equal(
      Buffer.concat([Buffer.from([0x8a, 4]), Buffer.from('ping')]),
    );
    connection.close();
    client.destroy();
  });

  it('send() says the length in the shortest way', async () => {
    const [client, server] = duplexPair();
    const idle = { onMessage: () => undefined, onDrain: () => undefined, onClose: () => undefined };
    const connection = new WebSocketConnection(server, Buffer.alloc(0), idle);
    const heard = async (): Promise<Buffer> => ((await once(client, 'data')) as [Buffer])[0];
    connection.send(Buffer.from([1]), Buffer.from('hi'));
    expect(await heard()).to.deep.equal(Buffer.from([0x82, 3, 1, 0x68, 0x69]));
    connection.send(Buffer.alloc(200));
    expect((await heard()).subarray(0, 4)).to.deep.equal(Buffer.from([0x82, 126, 0, 200]));
    connection.send(Buffer.alloc(70_000));
    const longest = Buffer.from([0x82, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70]);
    expect((await heard()).subarray(0, 10)).to.deep.equal(longest);
    client.destroy();
    server.destroy();
  });

  it('ends a connection whose client does not mask', async () => {
    const [client, server] = duplexPair();
    const closed = Promise.withResolvers<void>();
    const connection = new WebSocketConnection(server, Buffer.from([0x82, 1, 65]), {
      onMessage: () => undefined,
      onDrain: () => undefined,
      onClose: () => closed.resolve(),
    });
    await closed.promise;
    connection.close();
    client.destroy();
  });
});
