import { invariant } from '#common/assert.ts';
import { selfSigned } from '#common/tls/self-signed.ts';
import { openSocketPair } from '#linux/socket-pair.ts';

import { allocateSlab, type Slab } from '../memory.ts';
import { closeSocket, receiveInto, sendFrom } from '../socket.ts';
import { TlsContext } from './context.ts';
import { Handshake, type HandshakeDone } from './handshake.ts';
import { missingSymbols, OpenSSL_version } from './openssl.ts';
import { APPLICATION_DATA, HEADER_LENGTH, RecordKeys } from './record.ts';

const NAME = 'spiffe://self.test/ns/self/sa/test';
const LIFETIME_MS = 3_600_000;
const SLAB_SIZE = 65_536;
const MESSAGE = 'Ambit';
/** Flights of a handshake; TLS 1.3 needs three. */
const FLIGHTS_MAX = 6;

/**
 * Checks that this Node's OpenSSL does what the data path needs: every function is exported, and one
 * handshake over a socket pair leads to keys under which a record arrives. Takes some milliseconds; call it
 * once at start. Throws an Error that says what is missing and which Node has it.
 */
export function selfTestOpenssl(): void {
  const missing = missingSymbols();
  if (missing.length > 0) {
    throw new Error(
      `Cannot do TLS: ${process.execPath} (Node ${process.version}) does not export ${missing.join(', ')}; ` +
        'want an official build of Node 26.10 or later, with its own OpenSSL 3.5',
    );
  }
  try {
    loopBack();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(
      `Cannot do TLS: a handshake with ourselves failed (${why}) on Node ${process.version} with ` +
        `${OpenSSL_version(0)}; want an official build of Node 26.10 or later`,
      { cause: error },
    );
  }
}

function loopBack(): void {
  const signed = selfSigned({ uris: [NAME], notAfterMs: Date.now() + LIFETIME_MS });
  const { certificatePem, privateKeyPem } = signed;
  const context = new TlsContext({
    chainPem: [certificatePem],
    privateKeyPem,
    rootsPem: certificatePem,
  });
  const [clientFd, serverFd] = openSocketPair();
  const client = new Handshake(context, 'client');
  const server = new Handshake(context, 'server');
  try {
    const clientSide = { handshake: client, fd: clientFd };
    const serverSide = { handshake: server, fd: serverFd };
    let done: HandshakeDone | undefined;
    for (let flight = 0; done === undefined; flight++) {
      invariant(flight < FLIGHTS_MAX, 'a handshake ends');
      done = flight % 2 === 0 ? advance(clientSide, serverSide) : advance(serverSide, clientSide);
      // The server is the last to be done.
      if (flight % 2 === 0) done = undefined;
    }
    invariant(done.peer.uris[0] === NAME, 'the peer has the name of its certificate');
    sendRecord(clientSide, serverSide, done);
  } finally {
    client.free();
    server.free();
    context.free();
    closeSocket(clientFd);
    closeSocket(serverFd);
  }
}

interface Side {
  readonly handshake: Handshake;
  readonly fd: number;
}

/** One side goes on, and what it says is put before the other. */
function advance(from: Side, to: Side): HandshakeDone | undefined {
  const slab = allocateSlab(SLAB_SIZE);
  const step = from.handshake.step();
  if (step.kind === 'failed') throw new Error(step.message);
  if (step.kind === 'alert') throw new Error(`alert ${step.name}`);
  const length = from.handshake.takeOutput(slab);
  if (length > 0) to.handshake.receive(slab, 0, carry(from, to, slab, length));
  return step.kind === 'done' ? step : undefined;
}

function sendRecord(from: Side, to: Side, { suite }: HandshakeDone): void {
  const sent = from.handshake.secrets.get('client');
  const expected = to.handshake.secrets.get('client');
  invariant(sent !== undefined && expected !== undefined, 'OpenSSL tells the secrets');
  const sealing = new RecordKeys(suite, sent, true);
  const opening = new RecordKeys(suite, expected, false);
  const plain = allocateSlab(MESSAGE.length + 1);
  plain.bytes.write(MESSAGE);
  const slab = allocateSlab(SLAB_SIZE);
  const sealed = sealing.seal(plain, 0, MESSAGE.length, APPLICATION_DATA, slab, 0);
  const arrived = carry(from, to, slab, sealed);
  const opened = allocateSlab(SLAB_SIZE);
  const length = opening.open(slab, 0, arrived - HEADER_LENGTH, opened, 0);
  sealing.free();
  opening.free();
  invariant(
    opened.bytes.toString('latin1', 0, Math.max(length - 1, 0)) === MESSAGE,
    'a record arrives as it was sent',
  );
}

/** Through the kernel: from one socket to the other, in the same slab. Bytes. */
function carry(from: Side, to: Side, slab: Slab, length: number): number {
  invariant(sendFrom(from.fd, slab, 0, length) === length, 'a socket takes a flight');
  return receiveInto(to.fd, slab, 0, slab.size);
}
