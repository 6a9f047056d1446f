import { create } from '@bufbuild/protobuf';
import { status as Status } from '@grpc/grpc-js';

import {
  type IstioCertificateRequest,
  type IstioCertificateResponse,
  IstioCertificateResponseSchema,
} from '#api/gen/ca_pb.ts';
import type { Clock } from '#common/clock.ts';
import type { CallContext, RefusedCall } from '#common/grpc/server.ts';
import type { Logger } from '#common/log/logger.ts';
import { readSigningRequest } from '#common/tls/signing-request.ts';

import { authenticate, type TokenReviewer } from '../serve/authenticate.ts';
import {
  authorizeSigning,
  type Caller,
  type SigningVerdict,
  type SigningView,
} from './authorize.ts';
import type { SigningCounters } from './counters.ts';
import { issueCertificate } from './issue.ts';
import type { CertificateRoot } from './root.ts';

export interface CertificateServiceOptions {
  readonly root: CertificateRoot;
  readonly view: SigningView;
  readonly review: TokenReviewer;
  /** Calls back once when something about pods has changed; disposing the answer forgets the call. */
  readonly onPodChange: (run: () => void) => Disposable;
  readonly lifeMs: { readonly fallback: number; readonly max: number };
  readonly counters: SigningCounters;
  readonly clock: Clock;
  readonly log: Logger;
}

type Result =
  | { readonly kind: 'answer'; readonly response: IstioCertificateResponse }
  | RefusedCall;

// A node proxy asks as soon as a pod is there, and can hear of it earlier than we do. A refusal would make it
// wait much longer than this.
const UNKNOWN_POD_WAIT_MS = 3_000;

/** Answers `CreateCertificate`: who calls, for whom, with which key; then signs. */
export class CertificateService {
  readonly #options: CertificateServiceOptions;

  constructor(options: CertificateServiceOptions) {
    this.#options = options;
  }

  async createCertificate(request: IstioCertificateRequest, context: CallContext): Promise<Result> {
    const { counters, review, log } = this.#options;
    counters.requests++;
    const who = await authenticate(context, review);
    if (who.kind !== 'caller') {
      counters.authenticationFailures++;
      log.warn('caller not authenticated', { peer: context.peer, reason: who.reason });
      return who.kind === 'unavailable'
        ? refused(Status.UNAVAILABLE, who.reason)
        : refused(Status.UNAUTHENTICATED, `request authenticate failure: ${who.reason}`);
    }
    const verdict = await this.#authorize(who.caller, wantedIdentity(request));
    if (verdict.kind !== 'allowed') {
      counters.authenticationFailures++;
      const { namespace, serviceAccount } = who.caller;
      const caller = `${namespace}/${serviceAccount}`;
      log.warn('certificate refused', { caller, peer: context.peer, reason: verdict.reason });
      return refused(
        Status.UNAUTHENTICATED,
        `request impersonation authentication failure: ${verdict.reason}`,
      );
    }
    return this.#sign(request, verdict.identity);
  }

  #sign(request: IstioCertificateRequest, identity: string): Result {
    const { counters, root, clock, lifeMs, log } = this.#options;
    const read = readSigningRequest(request.csr);
    if (read.kind === 'refused') {
      counters.unreadableRequests++;
      return refused(Status.INVALID_ARGUMENT, `Cannot read the signing request: ${read.reason}`);
    }
    const nowMs = clock.now();
    if (root.notAfterMs <= nowMs) {
      counters.failed('CA_EXPIRED');
      log.error('the root has expired: nothing can be signed');
      return refused(Status.INTERNAL, 'The root has expired');
    }
    const askedMs = Number(request.validityDuration) * 1_000;
    const leafPem = issueCertificate(root, {
      names: { uris: [identity] },
      publicKey: read.publicKey,
      lifeMs: askedMs > 0 ? Math.min(askedMs, lifeMs.max) : lifeMs.fallback,
      nowMs,
    });
    counters.issued++;
    log.debug('certificate issued', { identity });
    // The last one is what to trust; a chain would stand between.
    const certChain = [leafPem, root.certificatePem];
    return {
      kind: 'answer',
      response: create(IstioCertificateResponseSchema, { certChain }),
    };
  }

  /** Waits a little for a pod that is not known yet. */
  async #authorize(caller: Caller, wanted: string | undefined): Promise<SigningVerdict> {
    const { view, clock } = this.#options;
    const untilMs = clock.now() + UNKNOWN_POD_WAIT_MS;
    for (;;) {
      const verdict = authorizeSigning(caller, wanted, view);
      const leftMs = untilMs - clock.now();
      if (verdict.kind !== 'unknown-pod' || leftMs <= 0) return verdict;
      await this.#podChange(leftMs);
    }
  }

  #podChange(atMostMs: number): Promise<void> {
    const { clock, onPodChange } = this.#options;
    return new Promise((resolve) => {
      const done = (): void => {
        timer[Symbol.dispose]();
        change[Symbol.dispose]();
        resolve();
      };
      const timer = clock.setTimer(atMostMs, done);
      const change = onPodChange(done);
    });
  }
}

/** Whom a node proxy acts for. A value that is no text is nobody's identity, and not a request for one's own. */
function wantedIdentity(request: IstioCertificateRequest): string | undefined {
  const value = request.metadata?.['ImpersonatedIdentity'];
  if (value === undefined || value === '') return undefined;
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function refused(status: Status, details: string): RefusedCall {
  return { kind: 'refused', status, details };
}
