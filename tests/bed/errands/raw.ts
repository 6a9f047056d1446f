import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

const DEADLINE_MS = 60_000;

/**
 * What is said and heard on a connection, in turns: waits until everything that was heard ends with `until`, then says `say`. At the
 * end it closes its side, and tells all that it has heard until the other side closes; an error is told as its code.
 */
export async function rawTalk(given: {
  readonly host: string;
  readonly port: number;
  readonly turns: readonly { readonly until?: string; readonly say?: string }[];
}): Promise<{ readonly heard: string; readonly error?: string }> {
  const socket = connect({ host: given.host, port: given.port, allowHalfOpen: true });
  const seen = { heard: '' };
  socket.setEncoding('latin1').on('data', (text: string) => {
    seen.heard += text;
  });
  socket.setTimeout(DEADLINE_MS, () => socket.destroy(new Error('timed out')));
  const ended = once(socket, 'end');
  try {
    for (const { until = '', say = '' } of given.turns) {
      while (!seen.heard.endsWith(until))
        await Promise.race([nextData(socket), failIfEnded(ended)]);
      if (say !== '') socket.write(say, 'latin1');
    }
    socket.end();
    await ended;
    return seen;
  } catch (error) {
    return { ...seen, error: (error as NodeJS.ErrnoException).code ?? String(error) };
  } finally {
    socket.destroy();
  }
}

async function nextData(socket: Socket): Promise<void> {
  await once(socket, 'data');
}

async function failIfEnded(ended: Promise<unknown>): Promise<void> {
  await ended;
  throw new Error('ended before its turn');
}
