import { create } from '@bufbuild/protobuf';

import { IstioCertificateRequestSchema, IstioCertificateService } from '#api/gen/ca_pb.ts';
import { Channel } from '#common/grpc/channel.ts';
import { readTextSource, type TextSource } from '#common/text-source.ts';
import { newSigningRequest } from '#common/tls/csr.ts';
import type { Identity } from '#common/tls/spiffe.ts';
import { readTrustRoots, type TrustRootsSource } from '#common/tls/trust-roots.ts';

import { type IdentityMaterial, readSignedChain } from './material.ts';
import { callFailure } from './signing-failure.ts';

export interface CaClientOptions {
  /** `https://host:port`; `http://host:port` is plaintext. */
  readonly address: string;
  /** Who signs the authority's own certificate. Read again for every request. */
  readonly root: TrustRootsSource;
  /** Another name that the authority's certificate may carry. */
  readonly alternativeHostname?: string | undefined;
  /** What proves who we are. Read again for every request: projected tokens are replaced often. */
  readonly token: TextSource;
  /** Further request headers, name in lower case → value. */
  readonly headers?: ReadonlyMap<string, string>;
  readonly clusterId: string;
  /** We ask for ourselves, not for the pods of our node. */
  readonly forItself?: boolean;
  /** How long certificates should be valid. The authority may decide otherwise. */
  readonly certificateTtlMs: number;
  /** Default {@link CALL_DEADLINE_MS}. */
  readonly deadlineMs?: number;
}

export type SignResult =
  | ({ readonly kind: 'signed' } & IdentityMaterial)
  | {
      readonly kind: 'failed';
      /** For people: what failed, where, and what to look at. Never holds a secret. */
      readonly reason: string;
      /** False: the same request will fail again until somebody changes something. */
      readonly retryable: boolean;
    };

/** Where certificates come from. */
export interface CertificateSigner {
  /** Makes a new key and has it certified for the identity. Never rejects. */
  sign(identity: Identity, signal: AbortSignal): Promise<SignResult>;
}

/** Connecting, the token's review at the authority, and signing take well below a second. */
const CALL_DEADLINE_MS = 10_000;
// A chain with a large bundle of roots.
const RESPONSE_BYTES_MAX = 1_048_576;
/** RFC 6750 tokens of Kubernetes are about 1 KB; HTTP/2 peers take 16 KB of headers at the least. */
const TOKEN_LENGTH_MAX = 12_288;

const { createCertificate } = IstioCertificateService.method;

/** Asks the mesh's certificate authority, over gRPC, one request per call of `sign`. */
export class CaClient implements CertificateSigner, Disposable {
  readonly #options: CaClientOptions;
  #open: { readonly channel: Channel; readonly rootsPem: string } | undefined;

  constructor(options: CaClientOptions) {
    this.#options = options;
  }

  async sign(identity: Identity, signal: AbortSignal): Promise<SignResult> {
    const { address, clusterId, headers, certificateTtlMs } = this.#options;
    const token = await this.#readToken();
    if (token.kind === 'failed') return token;
    const opened = await this.#channel();
    if (opened.kind === 'failed') return opened;
    const { csrPem, privateKeyPem } = newSigningRequest(identity);
    const request = create(IstioCertificateRequestSchema, {
      csr: csrPem,
      validityDuration: BigInt(Math.ceil(certificateTtlMs / 1000)),
      ...(this.#options.forItself === true ? {} : { metadata: { ImpersonatedIdentity: identity } }),
    });
    const result = await opened.channel.call(createCertificate, request, {
      headers: new Map([
        ...(headers ?? []),
        ['authorization', `Bearer ${token.text}`],
        ['clusterid', clusterId],
      ]),
      deadlineMs: this.#options.deadlineMs ?? CALL_DEADLINE_MS,
      signal,
    });
    if (result.kind === 'failed') {
      const failure = callFailure(result, { address, identity, secret: token.text });
      if (failure.connectionLost) this.#discard(opened.channel);
      return { kind: 'failed', reason: failure.reason, retryable: failure.retryable };
    }
    const read = readSignedChain(result.response.certChain, identity, privateKeyPem);
    return read.kind === 'material'
      ? { kind: 'signed', ...read.material }
      : failed(`The certificate authority at ${address} answered wrongly: ${read.reason}`, true);
  }

  [Symbol.dispose](): void {
    this.#open?.channel[Symbol.dispose]();
    this.#open = undefined;
  }

  async #readToken(): Promise<{ readonly kind: 'token'; readonly text: string } | Failed> {
    const { token } = this.#options;
    const where = token.kind === 'file' ? `file "${token.path}"` : 'given in AUTH_TOKEN';
    const read = await readTextSource(token);
    if (read.kind === 'failed')
      return failed(`No token for the certificate authority (AUTH_TOKEN): ${read.reason}`, true);
    const text = read.text.trim();
    if (text.length === 0) return failed(`The token ${where} is empty`, true);
    if (text.length > TOKEN_LENGTH_MAX || !/^[\x21-\x7e]+$/.test(text))
      return failed(
        `The token ${where} is not one: want at most ${TOKEN_LENGTH_MAX} printable ASCII characters in one line`,
        true,
      );
    return { kind: 'token', text };
  }

  /** The open channel, or a new one when there is none or the roots have changed. */
  async #channel(): Promise<{ readonly kind: 'open'; readonly channel: Channel } | Failed> {
    const { address, alternativeHostname, root } = this.#options;
    const roots = await readTrustRoots(root);
    if (roots.kind === 'failed')
      return failed(
        `No roots for the certificate authority at ${address} (CA_ROOT_CA): ${roots.reason}`,
        root.kind === 'file',
      );
    if (this.#open?.rootsPem === roots.pem) return { kind: 'open', channel: this.#open.channel };
    if (this.#open !== undefined) this.#discard(this.#open.channel);
    const channel = new Channel({
      address,
      rootsPem: roots.pem,
      alternativeHostname,
      receivedMessageBytesMax: RESPONSE_BYTES_MAX,
    });
    this.#open = { channel, rootsPem: roots.pem };
    return { kind: 'open', channel };
  }

  // A channel that lost its connection backs off on its own. When to try again is not its decision.
  #discard(channel: Channel): void {
    if (this.#open?.channel === channel) this.#open = undefined;
    channel[Symbol.dispose]();
  }
}

type Failed = Extract<SignResult, { kind: 'failed' }>;

function failed(reason: string, retryable: boolean): Failed {
  return { kind: 'failed', reason, retryable };
}
