import type { Duplex } from 'node:stream';

import { exitStatus, failureStatus, readSize } from './exec-status.ts';
import type { Session, SessionSink } from './session.ts';
import { WebSocketConnection } from './websocket.ts';

/** Preferred first. The fifth version adds the end of a channel. */
export const WEBSOCKET_PROTOCOLS: readonly string[] = ['v5.channel.k8s.io', 'v4.channel.k8s.io'];

/** The first byte of each message. */
const CHANNEL = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 } as const;

/** A session whose streams are the channels of a WebSocket. */
export function sessionOverWebSocket(
  socket: Duplex,
  head: Buffer,
  start: (sink: SessionSink) => Session,
): void {
  let session: Session | undefined;
  const connection = new WebSocketConnection(socket, head, {
    onMessage: (message) => {
      const rest = message.subarray(1);
      switch (message[0] ?? -1) {
        case CHANNEL.stdin:
          if (rest.length > 0 && session?.input(rest) === false) connection.pause();
          return;
        case CHANNEL.resize: {
          const size = readSize(rest.toString());
          if (size !== undefined) session?.resize(size.columns, size.rows);
          return;
        }
        case CHANNEL.close:
          if (rest[0] === CHANNEL.stdin) session?.endInput();
          return;
        default:
          return;
      }
    },
    onDrain: () => session?.resumeOutput(),
    onClose: () => session?.abort(),
  });
  const finish = (status: string): void => {
    connection.send(Buffer.from([CHANNEL.error]), Buffer.from(status));
    connection.close();
  };
  try {
    session = start({
      output: (stream, chunk) => connection.send(Buffer.from([CHANNEL[stream]]), chunk),
      inputDrained: () => connection.resume(),
      finished: (code) => finish(exitStatus(code)),
    });
  } catch (error) {
    finish(failureStatus(error instanceof Error ? error.message : String(error)));
  }
}
