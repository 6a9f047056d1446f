import { createHash } from 'node:crypto';
import { once } from 'node:events';

import { WebSocket } from 'ws';

const DEADLINE_MS = 60_000;

export interface WebSocketSeen {
  /** What came back of a text. */
  readonly text: string;
  /** What was sent, and what came back, of a large binary message. */
  readonly sentSha256: string;
  readonly heardSha256: string;
  readonly pong: string;
  readonly code: number;
  readonly reason: string;
}

/** Says something, sends so many bytes, asks the other side to close, and tells how that went. */
export async function webSocket(given: {
  readonly url: string;
  readonly bytes: number;
}): Promise<WebSocketSeen> {
  const socket = new WebSocket(given.url, { handshakeTimeout: DEADLINE_MS });
  const signal = AbortSignal.timeout(DEADLINE_MS);
  await once(socket, 'open', { signal });
  const exchange = async (message: string | Buffer): Promise<Buffer> => {
    const heard = once(socket, 'message', { signal }) as Promise<[Buffer, boolean]>;
    socket.send(message);
    const [data, isBinary] = await heard;
    if (isBinary !== Buffer.isBuffer(message)) throw new Error('It came back as another kind');
    return data;
  };
  const text = (await exchange('hello')).toString();
  const sent = Buffer.alloc(given.bytes, 'of many bytes, each in its place; ');
  const heard = await exchange(sent);
  const ponged = once(socket, 'pong', { signal }) as Promise<[Buffer]>;
  socket.ping('knock');
  const [pong] = await ponged;
  const closed = once(socket, 'close', { signal }) as Promise<[number, Buffer]>;
  socket.send('bye');
  const [code, reason] = await closed;
  return {
    text,
    sentSha256: digestOf(sent),
    heardSha256: digestOf(heard),
    pong: pong.toString(),
    code,
    reason: reason.toString(),
  };
}

function digestOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
