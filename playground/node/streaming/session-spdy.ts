import type { Duplex } from 'node:stream';

import { exitStatus, failureStatus, readSize } from './exec-status.ts';
import type { Session, SessionSink, WantedStreams } from './session.ts';
import { SpdyConnection, type SpdyStream } from './spdy-connection.ts';

/** The version that tells exit codes. */
export const SPDY_PROTOCOL = 'v4.channel.k8s.io';

/** A session whose streams are those of a SPDY connection, once the client has opened all of them. */
export function sessionOverSpdy(
  socket: Duplex,
  head: Buffer,
  request: WantedStreams,
  start: (sink: SessionSink) => Session,
): void {
  const wanted = wantedStreams(request);
  const streams = new Map<string, SpdyStream>();
  let session: Session | undefined;
  const connection = new SpdyConnection(socket, head, {
    onStream: (stream) => {
      const type = stream.headers.get('streamtype') ?? '';
      if (!wanted.has(type) || streams.has(type)) return connection.reset(stream);
      streams.set(type, stream);
      if (streams.size === wanted.size) begin();
    },
    onDrain: () => session?.resumeOutput(),
    onClose: () => session?.abort(),
  });
  const finish = (status: string): void => {
    const error = streams.get('error');
    if (error !== undefined) connection.write(error, Buffer.from(status));
    for (const stream of streams.values()) connection.end(stream);
    connection.close();
  };
  const begin = (): void => {
    try {
      session = start({
        output: (name, chunk) => {
          const stream = streams.get(name);
          return stream === undefined || connection.write(stream, chunk);
        },
        inputDrained: () => connection.resume(),
        finished: (code) => finish(exitStatus(code)),
      });
    } catch (error) {
      return finish(failureStatus(error instanceof Error ? error.message : String(error)));
    }
    const started = session;
    const stdin = streams.get('stdin');
    if (stdin !== undefined) {
      stdin.onData = (chunk) => {
        if (!started.input(chunk)) connection.pause();
      };
      stdin.onEnd = () => started.endInput();
    }
    const resize = streams.get('resize');
    if (resize === undefined) return;
    resize.onData = (chunk) => {
      const size = readSize(chunk.toString());
      if (size !== undefined) started.resize(size.columns, size.rows);
    };
  };
}

function wantedStreams(request: WantedStreams): ReadonlySet<string> {
  return new Set([
    'error',
    ...(request.stdin ? ['stdin'] : []),
    ...(request.stdout ? ['stdout'] : []),
    ...(request.stderr && !request.tty ? ['stderr'] : []),
    ...(request.tty ? ['resize'] : []),
  ]);
}
