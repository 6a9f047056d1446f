// A small certificate authority that speaks the mesh's certificate service over TLS. It signs what it is
// asked for: for tests and demonstrations only.
//
//   node tests/bed/certificate-authority.ts DIRECTORY ADDRESS:PORT [TTL_SECONDS]
//
// DIRECTORY holds (or gets) root.pem and root.key: one directory, one mesh. Prints `ready ADDRESS:PORT`
// and one line per request.
import {
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  X509Certificate,
} from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  status as Status,
  type sendUnaryData,
} from '@grpc/grpc-js';

import {
  type IstioCertificateRequest,
  IstioCertificateRequestSchema,
  type IstioCertificateResponse,
  IstioCertificateResponseSchema,
  IstioCertificateService,
} from '#api/gen/ca_pb.ts';
import { ipToBytes, parseIp } from '#common/net/address.ts';
import { type CertificateFields, writeCertificate } from '#common/tls/x509-writer.ts';

import { readSigningRequest } from './signing-request.ts';

/** What was asked for, and by whom. */
export interface SigningCall {
  readonly identity: string;
  readonly ttlSeconds: number;
  /** The whole value of `authorization`; undefined when there is none. */
  readonly authorization: string | undefined;
  readonly clusterId: string | undefined;
  readonly csrPem: string;
}

/** The answer instead of the chain: a gRPC status and its text. */
export interface Refusal {
  readonly status: Status;
  readonly details: string;
}

export interface CertificateAuthorityOptions {
  /** Keeps root.pem and root.key (mode 0600). Undefined: a new root that only memory holds. */
  readonly directory?: string;
  /** `ip:port`; port 0 takes a free one. */
  readonly listen: string;
  /** Life time of every certificate, whatever is asked for. */
  readonly ttlSeconds?: number;
  /** Milliseconds since the epoch. Default: the machine's. */
  readonly now?: () => number;
  /** Called for each request. May answer another chain than the right one, or refuse. */
  readonly answer?: (
    call: SigningCall,
    chainPem: readonly string[],
  ) => readonly string[] | Refusal | Promise<readonly string[] | Refusal>;
}

export interface CertificateAuthority extends AsyncDisposable {
  /** `https://ip:port`. */
  readonly address: string;
  readonly rootPem: string;
  /** Signs a certificate for any identity, as the service does. */
  issue(identity: string, publicKey: KeyObject, ttlSeconds: number): string;
}

interface Root {
  readonly certificatePem: string;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

const ORGANIZATION = 'cluster.local';
const ROOT_LIFE_MS = 3650 * 24 * 3_600_000;
const DEFAULT_TTL_SECONDS = 86_400;
// Certificates begin a little in the past: the clocks of a cluster differ.
const SKEW_MS = 120_000;
const SERVER_NAMES = ['localhost', 'istiod.istio-system.svc'];

/** Starts the authority in this process. */
export async function startCertificateAuthority(
  options: CertificateAuthorityOptions,
): Promise<CertificateAuthority> {
  const now = options.now ?? Date.now;
  const root =
    options.directory === undefined ? newRoot(now()) : keptRoot(options.directory, now());
  const issue = (identity: string, publicKey: KeyObject, ttlSeconds: number): string =>
    writeCertificate({
      ...fieldsOf(root, now(), ttlSeconds),
      names: { uris: [identity] },
      publicKey,
    });
  const server = new Server();
  const { method, typeName } = IstioCertificateService;
  const path = `/${typeName}/${method.createCertificate.name}`;
  server.addService(
    {
      createCertificate: {
        path,
        requestStream: false,
        responseStream: false,
        requestSerialize: (m: IstioCertificateRequest) =>
          Buffer.from(toBinary(IstioCertificateRequestSchema, m)),
        requestDeserialize: (bytes: Buffer) => fromBinary(IstioCertificateRequestSchema, bytes),
        responseSerialize: (m: IstioCertificateResponse) =>
          Buffer.from(toBinary(IstioCertificateResponseSchema, m)),
        responseDeserialize: (bytes: Buffer) => fromBinary(IstioCertificateResponseSchema, bytes),
      },
    },
    {
      createCertificate: (call: Call, reply: Reply) => {
        void createCertificate(call, { options, root, issue }).then(
          (chain) =>
            'status' in chain
              ? reply({ code: chain.status, details: chain.details })
              : reply(null, create(IstioCertificateResponseSchema, { certChain: [...chain] })),
          (error: unknown) =>
            reply({ code: Status.INVALID_ARGUMENT, details: (error as Error).message }),
        );
      },
    },
  );
  const port = await listen(server, options.listen, serverPair(root, options.listen, now()));
  const ip = options.listen.slice(0, options.listen.lastIndexOf(':'));
  return {
    address: `https://${ip}:${port}`,
    rootPem: root.certificatePem,
    issue,
    [Symbol.asyncDispose]: () => {
      server.forceShutdown();
      return Promise.resolve();
    },
  };
}

type Call = ServerUnaryCall<IstioCertificateRequest, IstioCertificateResponse>;
type Reply = sendUnaryData<IstioCertificateResponse>;

interface Desk {
  readonly options: CertificateAuthorityOptions;
  readonly root: Root;
  readonly issue: CertificateAuthority['issue'];
}

async function createCertificate(call: Call, desk: Desk): Promise<readonly string[] | Refusal> {
  const { csr, metadata, validityDuration } = call.request;
  const request = readSigningRequest(csr);
  const impersonated = metadata?.['ImpersonatedIdentity'];
  const identity = typeof impersonated === 'string' ? impersonated : request.uri;
  if (identity === undefined)
    throw new Error('No identity: neither metadata nor the request has one');
  const asked = Number(validityDuration) || DEFAULT_TTL_SECONDS;
  const ttlSeconds = desk.options.ttlSeconds ?? asked;
  const header = (name: string): string | undefined => call.metadata.get(name)[0]?.toString();
  const chain = [desk.issue(identity, request.publicKey, ttlSeconds), desk.root.certificatePem];
  const signing: SigningCall = {
    identity,
    ttlSeconds: asked,
    authorization: header('authorization'),
    clusterId: header('clusterid'),
    csrPem: csr,
  };
  return (await desk.options.answer?.(signing, chain)) ?? chain;
}

function listen(server: Server, address: string, pair: KeyCertPair): Promise<number> {
  const credentials = ServerCredentials.createSsl(null, [
    { private_key: Buffer.from(pair.privateKeyPem), cert_chain: Buffer.from(pair.certificatePem) },
  ]);
  return new Promise((resolve, reject) => {
    server.bindAsync(address, credentials, (error, port) =>
      error === null ? resolve(port) : reject(error),
    );
  });
}

interface KeyCertPair {
  readonly privateKeyPem: string;
  readonly certificatePem: string;
}

function serverPair(root: Root, address: string, nowMs: number): KeyCertPair {
  const { publicKey, privateKey } = newKeys();
  const own = parseIp(address.slice(0, address.lastIndexOf(':')).replaceAll(/[[\]]/g, ''));
  const ips = new Set(['127.0.0.1', '::1', ...(own === undefined ? [] : [own])]);
  const certificatePem = writeCertificate({
    ...fieldsOf(root, nowMs, ROOT_LIFE_MS / 2_000),
    names: {
      dns: SERVER_NAMES,
      addresses: [...ips].flatMap((ip) => parseIp(ip) ?? []).map(ipToBytes),
    },
    publicKey,
  });
  return { certificatePem, privateKeyPem: pkcs8(privateKey) };
}

type IssuedFields = Omit<CertificateFields, 'publicKey' | 'names'>;

function fieldsOf(root: Root, nowMs: number, ttlSeconds: number): IssuedFields {
  return {
    issuer: ORGANIZATION,
    subject: undefined,
    notBeforeMs: nowMs - SKEW_MS,
    notAfterMs: nowMs + ttlSeconds * 1_000,
    issuerPrivateKey: root.privateKey,
    issuerPublicKey: root.publicKey,
    authority: false,
    endpoint: true,
  };
}

/** The root that the directory holds; a new one when it holds none. */
function keptRoot(directory: string, nowMs: number): Root {
  const certificatePath = join(directory, 'root.pem');
  const keyPath = join(directory, 'root.key');
  if (existsSync(certificatePath)) {
    const certificatePem = readFileSync(certificatePath, 'utf8');
    const privateKey = createPrivateKey(readFileSync(keyPath));
    return { certificatePem, privateKey, publicKey: new X509Certificate(certificatePem).publicKey };
  }
  mkdirSync(directory, { recursive: true });
  const root = newRoot(nowMs);
  writeFileSync(keyPath, pkcs8(root.privateKey), { mode: 0o600 });
  // Renamed into place: whoever waits for the file finds all of it.
  writeFileSync(`${certificatePath}.new`, root.certificatePem);
  renameSync(`${certificatePath}.new`, certificatePath);
  return root;
}

function newRoot(nowMs: number): Root {
  const { publicKey, privateKey } = newKeys();
  const certificatePem = writeCertificate({
    issuer: ORGANIZATION,
    subject: ORGANIZATION,
    notBeforeMs: nowMs - 3_600_000,
    notAfterMs: nowMs + ROOT_LIFE_MS,
    publicKey,
    issuerPrivateKey: privateKey,
    issuerPublicKey: publicKey,
    authority: true,
    endpoint: false,
  });
  return { certificatePem, privateKey, publicKey };
}

function newKeys(): { publicKey: KeyObject; privateKey: KeyObject } {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' });
}

function pkcs8(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' });
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function main([directory, address, ttl]: readonly string[]): Promise<void> {
  if (directory === undefined || address === undefined)
    throw new Error('Usage: certificate-authority.ts DIRECTORY ADDRESS:PORT [TTL_SECONDS]');
  const authority = await startCertificateAuthority({
    directory,
    listen: address,
    ...(ttl === undefined ? {} : { ttlSeconds: Number(ttl) }),
    answer: (call, chain) => {
      const who = call.authorization === undefined ? 'no token' : 'token';
      say(`signed ${call.identity} ${call.ttlSeconds}s ${who} ${call.clusterId ?? '-'}`);
      return chain;
    },
  });
  say(`ready ${authority.address}`);
}

if (import.meta.main) await main(process.argv.slice(2));
