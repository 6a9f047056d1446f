import type { RequestMessage } from '../request/head.ts';
import type { UpstreamEndpoint } from '../upstream/endpoint.ts';
import type { ConnectionFacts, Decision } from './decision.ts';
import type { GrpcMessages } from './grpc-messages.ts';

/** What is told of an exchange when it is over: for metrics and the log. Times on the clock of the loop. */
export interface ExchangeRecord {
  readonly startMs: number;
  readonly facts: ConnectionFacts;
  readonly request: RequestMessage;
  readonly decision: Decision;
  /** The last one that was tried. */
  endpoint: UpstreamEndpoint | undefined;
  /** 0: nothing was answered. */
  status: number;
  /** Envoy's response flag: "-" when nothing went wrong. */
  flag: string;
  /** Why, in words; empty when nothing went wrong. */
  details: string;
  requestBytes: number;
  responseBytes: number;
  attempts: number;
  /** When the answer's head came. */
  responseMs: number | undefined;
  endMs: number;
  /** Of a gRPC answer. */
  grpcStatus: string | undefined;
  /** Of a gRPC call: what went by both ways. */
  readonly messages: GrpcMessages | undefined;
}
