// Receives what `sender.ts` sends.
//
//   node tests/demo/programs/receiver.ts HOST PORT
//
// Prints `received COUNT` after every further 64 MB, and at the end one of
//   complete COUNT SHA256     the stream ended with the digest of all before it
//   incomplete COUNT          the stream ended without it
//   broken COUNT ERROR        the connection failed
import { createHash } from 'node:crypto';
import { connect } from 'node:net';

const DIGEST_BYTES = 32;
const REPORT_BYTES = 64 << 20;

const [host = '', port = ''] = process.argv.slice(2);
const socket = connect({ host, port: Number(port) });
const hash = createHash('sha256');
let count = 0;
let reported = 0;
// The last bytes so far: they may be the digest, which is not part of what it is the digest of.
let tail: Buffer = Buffer.alloc(0);
let error: string | undefined;

socket.on('data', (chunk: Buffer) => {
  const bytes = Buffer.concat([tail, chunk]);
  const sure = Math.max(0, bytes.length - DIGEST_BYTES);
  hash.update(bytes.subarray(0, sure));
  count += sure;
  tail = Buffer.from(bytes.subarray(sure));
  if (count - reported < REPORT_BYTES) return;
  reported = count;
  process.stdout.write(`received ${count}\n`);
});
socket.on('error', (reason: NodeJS.ErrnoException) => {
  error = reason.code ?? reason.message;
});
socket.on('close', () => process.stdout.write(`${outcome()}\n`));

function outcome(): string {
  if (error !== undefined) return `broken ${count + tail.length} ${error}`;
  const digest = hash.digest();
  if (!digest.equals(tail)) return `incomplete ${count + tail.length}`;
  return `complete ${count} ${digest.toString('hex')}`;
}
