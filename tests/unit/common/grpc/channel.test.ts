import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TLSSocket } from 'node:tls';

import { create } from '@bufbuild/protobuf';
import { expect } from 'chai';
import { afterEach, describe, it } from 'mocha';

import { IstioCertificateRequestSchema, IstioCertificateService } from '#api/gen/ca_pb.ts';
import { type CallResult, Channel } from '#common/grpc/channel.ts';
import { newSigningRequest } from '#common/tls/csr.ts';
import { writeCertificate } from '#common/tls/x509-writer.ts';
import { startCertificateAuthority } from '#tests/bed/certificate-authority.ts';

const { createCertificate } = IstioCertificateService.method;
const NEVER = new AbortController().signal;

/** A certificate for 127.0.0.1 that signs itself. */
function localPair(): { cert: string; key: string } {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const cert = writeCertificate({
    issuer: 'test',
    subject: 'test',
    names: { addresses: [Uint8Array.of(127, 0, 0, 1)] },
    notBeforeMs: Date.now() - 60_000,
    notAfterMs: Date.now() + 3_600_000, // longer than a whole test run
    publicKey,
    issuerPrivateKey: privateKey,
    issuerPublicKey: publicKey,
    authority: true,
    endpoint: true,
  });
  return { cert, key: privateKey.export({ type: 'pkcs8', format: 'pem' }) };
}

function call(channel: Channel, deadlineMs: number): Promise<CallResult<unknown>> {
  const { csrPem } = newSigningRequest('spiffe://a');
  const request = create(IstioCertificateRequestSchema, { csr: csrPem });
  return channel.call(createCertificate, request, {
    headers: new Map(),
    deadlineMs,
    signal: NEVER,
  });
}

describe('Channel', () => {
  const servers: Server[] = [];
  const pair = localPair();

  afterEach(() => {
    for (const server of servers.splice(0)) server.close();
  });

  async function addressOf(server: Server): Promise<string> {
    servers.push(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  function open(address: string, rootsPem: string = pair.cert): Channel {
    return new Channel({ address, rootsPem, receivedMessageBytesMax: 1_000_000 });
  }

  it('keeps no connection whose peer never finishes the handshake', async () => {
    const server = createServer((socket) => socket.resume().on('error', () => undefined));
    const accepted = once(server, 'connection') as Promise<[Socket]>;
    const channel = open(await addressOf(server));
    expect(await call(channel, 50)).to.have.property('kind', 'failed');
    const [socket] = await accepted;
    const closed = once(socket, 'close');
    channel[Symbol.dispose]();
    await closed;
  });

  it('keeps no connection whose peer never speaks HTTP/2', async () => {
    const server = createTlsServer({ ...pair, ALPNProtocols: ['h2'] });
    const accepted = once(server, 'secureConnection') as Promise<[TLSSocket]>;
    const channel = open(await addressOf(server));
    expect(await call(channel, 150)).to.have.property('kind', 'failed');
    const [socket] = await accepted;
    socket.resume().on('error', () => undefined);
    const closed = once(socket, 'close');
    channel[Symbol.dispose]();
    await closed;
  });

  it('sends no SNI to an address, and checks the address in the certificate', async () => {
    const server = createTlsServer({ ...pair, ALPNProtocols: ['h2'] });
    const accepted = once(server, 'secureConnection') as Promise<[TLSSocket]>;
    using channel = open(await addressOf(server));
    const calling = call(channel, 200);
    const [socket] = await accepted;
    expect(socket.servername).to.equal(false);
    socket.destroy();
    await calling;
  });

  it('lets a call under way end when it is disposed', async () => {
    let asked: (() => void) | undefined;
    const waiting = new Promise<void>((resolve) => {
      asked = resolve;
    });
    let answer: (() => void) | undefined;
    const authority = await startCertificateAuthority({
      listen: '127.0.0.1:0',
      answer: (_, chain) => {
        asked?.();
        return new Promise((resolve) => {
          answer = () => resolve(chain);
        });
      },
    });
    const channel = open(authority.address, authority.rootPem);
    const calling = call(channel, 5_000);
    await waiting;
    channel[Symbol.dispose]();
    answer?.();
    expect(await calling).to.have.property('kind', 'answered');
    await authority[Symbol.asyncDispose]();
  });

  it('refuses a header that could not be sent without repeating its value', async () => {
    using channel = open('https://127.0.0.1:1');
    const result = await channel.call(createCertificate, create(IstioCertificateRequestSchema), {
      headers: new Map([['authorization', 'secret\n']]),
      deadlineMs: 100,
      signal: NEVER,
    });
    expect(result.kind).to.equal('failed');
    expect(JSON.stringify(result)).to.not.include('secret');
  });
});
