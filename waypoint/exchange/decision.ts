import type { RequestPlan, ResponsePlan } from '#codec/http1/write.ts';
import type { Header } from '#codec/http2/field.ts';
import type { IpAddress, SocketAddress } from '#common/net/address.ts';
import type { Identity } from '#common/tls/spiffe.ts';
import type { Workload } from '#dataplane/state/workload.ts';

import type { UpstreamTarget } from '../upstream/endpoint.ts';

/** What a connection inside a tunnel is known by; the same for all of its requests. */
export interface ConnectionFacts {
  /** From the certificate at the other end of the tunnel. */
  readonly identity: Identity;
  readonly sourceIp: IpAddress;
  /** Whose address it is, for metrics and logs. */
  readonly sourceWorkload: Workload | undefined;
  /** What the client asked the tunnel for … */
  readonly destination: SocketAddress;
  /** … and whose it is. */
  readonly target: UpstreamTarget;
}

/** How a retry is made. */
export interface RetryPlan {
  /** Beyond the first attempt. */
  readonly attempts: number;
  /** Answers that are tried again, beside connections that fail. */
  readonly codes: readonly number[];
  /** Is an attempt that took too long made again? It may have been carried out. */
  readonly timeouts: boolean;
  /** Milliseconds before the second attempt; doubled for each further one. */
  readonly backoffMs: number;
}

/** Who and what decided, for the log. */
export interface DecidedBy {
  /** "HTTPRoute/namespace/name", with the rule's name or number. */
  readonly route?: string | undefined;
  /** "namespace/name" of the policy, with its rule's number. */
  readonly policy?: string | undefined;
}

/** What is done with a request. */
export type Decision = DecidedBy &
  (
    | {
        /** We answer ourselves. */
        readonly kind: 'answer';
        readonly status: number;
        readonly fields: readonly Header[];
        readonly body: string;
        /** For the log: Envoy's response flag, and its details in words. */
        readonly flag: string;
        readonly details: string;
      }
    | {
        readonly kind: 'forward';
        /** Where to; for a route that leads to another service not where the client wanted to go. */
        readonly target: UpstreamTarget;
        readonly requestPlan: RequestPlan;
        readonly responsePlan: ResponsePlan;
        /** Of the whole exchange up to the end of the answer. */
        readonly timeoutMs: number | undefined;
        /** Of one attempt. */
        readonly attemptTimeoutMs: number | undefined;
        readonly retry: RetryPlan;
      }
  );

/** Without a route that says otherwise. */
export const DEFAULT_RETRY: RetryPlan = { attempts: 2, codes: [], timeouts: false, backoffMs: 25 };
