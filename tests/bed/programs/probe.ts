// One question to a service of `app.ts`, asked from inside a pod; prints one line of JSON.
//
//   node tests/bed/programs/probe.ts who|echo|send|digest HOST PORT [BYTES]
//
//   who     {"ok":true,"answer":"10.99.1.10"}
//   echo    sends BYTES of text, wants them back
//   send    wants BYTES and their digest, then the end of the stream
//   digest  sends BYTES, ends its direction, wants their digest: a half-closed connection
//
// A connection that fails is `{"ok":false,"error":"ECONNREFUSED","afterMs":3}`; `error` is "end" when the
// other side ended the stream before it had answered.
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

import { pattern } from './pattern.ts';

const DEADLINE_MS = 60_000;
const CONNECT_DEADLINE_MS = 10_000;

const questions: Readonly<Record<string, (socket: Socket, bytes: number) => Promise<string>>> = {
  who: async (socket) => (await all(socket)).toString(),
  echo: askEcho,
  send: askSend,
  digest: askDigest,
};

async function askEcho(socket: Socket, bytes: number): Promise<string> {
  const hash = createHash('sha256');
  const answer = all(socket);
  for (const chunk of pattern(bytes)) {
    hash.update(chunk);
    if (!socket.write(chunk)) await once(socket, 'drain');
  }
  socket.end();
  return compare(
    createHash('sha256')
      .update(await answer)
      .digest('hex'),
    hash.digest('hex'),
  );
}

async function askSend(socket: Socket, bytes: number): Promise<string> {
  socket.write(`${bytes}\n`);
  const hash = createHash('sha256');
  let count = 0;
  let rest = Buffer.alloc(0);
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    const body = chunk.subarray(0, Math.max(0, bytes - count));
    hash.update(body);
    count += body.length;
    rest = Buffer.concat([rest, chunk.subarray(body.length)]);
  }
  if (count < bytes) return fail(count === 0 ? 'end' : `end after ${count} bytes`);
  return compare(rest.toString('hex'), hash.digest('hex'));
}

async function askDigest(socket: Socket, bytes: number): Promise<string> {
  const hash = createHash('sha256');
  const answer = all(socket);
  for (const chunk of pattern(bytes)) {
    hash.update(chunk);
    if (!socket.write(chunk)) await once(socket, 'drain');
  }
  socket.end();
  return compare((await answer).toString(), `${bytes} ${hash.digest('hex')}`);
}

async function all(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket as AsyncIterable<Buffer>) chunks.push(chunk);
  const answer = Buffer.concat(chunks);
  return answer.length > 0 ? answer : fail('end');
}

function compare(got: string, want: string): string {
  return got === want ? got : fail(`got ${got}, want ${want}`);
}

function fail(what: string): never {
  throw new Error(what);
}

const [kind = '', host = '', port = '', bytes = '0'] = process.argv.slice(2);
const ask = questions[kind];
if (ask === undefined)
  throw new Error(`Cannot ask "${kind}": want ${Object.keys(questions).join(', ')}`);
const began = performance.now();
const socket = connect({ host, port: Number(port), allowHalfOpen: true });
socket.setTimeout(CONNECT_DEADLINE_MS, () => socket.destroy(new Error('timeout')));
const overall = setTimeout(() => socket.destroy(new Error('timeout')), DEADLINE_MS);
let line: object;
try {
  await once(socket, 'connect');
  line = { ok: true, answer: await ask(socket, Number(bytes)) };
} catch (error) {
  const { code, message } = error as NodeJS.ErrnoException;
  line = { ok: false, error: code ?? message, afterMs: Math.round(performance.now() - began) };
}
clearTimeout(overall);
socket.destroy();
process.stdout.write(`${JSON.stringify(line)}\n`);
