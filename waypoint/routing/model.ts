import type { RequestPlan } from '#codec/http1/write.ts';

import type { CorsRules } from '../filters/cors.ts';
import type { WholeText } from './regex.ts';

/** A service by its name, which need not exist. */
export interface ServiceRef {
  readonly namespace: string;
  readonly hostname: string;
}

export type TextRule =
  | { readonly kind: 'exact'; readonly value: string }
  | (WholeText & { readonly kind: 'regex' });

export type PathRule =
  | { readonly kind: 'exact' | 'prefix'; readonly value: string }
  | (WholeText & { readonly kind: 'regex'; readonly value: string });

export interface NamedRule {
  /** Of headers in lower case. */
  readonly name: string;
  readonly rule: TextRule;
}

/** Holds when everything that is set does. */
export interface RouteMatch {
  readonly path: PathRule | undefined;
  readonly headers: readonly NamedRule[];
  readonly query: readonly NamedRule[];
  readonly method: string | undefined;
}

type Edits = NonNullable<RequestPlan['edits']>;

export type PathRewrite =
  | { readonly kind: 'full'; readonly value: string }
  /** Replaces the prefix that the match found. */
  | { readonly kind: 'prefix'; readonly value: string };

export type RouteFilter =
  | { readonly kind: 'request-headers' | 'response-headers'; readonly edits: Edits }
  | {
      readonly kind: 'redirect';
      readonly scheme: string | undefined;
      readonly hostname: string | undefined;
      readonly path: PathRewrite | undefined;
      readonly port: number | undefined;
      readonly status: number;
    }
  | {
      readonly kind: 'rewrite';
      readonly hostname: string | undefined;
      readonly path: PathRewrite | undefined;
    };

export interface RouteBackend {
  readonly service: ServiceRef;
  readonly port: number;
  readonly weight: number;
  readonly filters: readonly RouteFilter[];
  /** Why its share of the requests is answered with 500. */
  readonly invalid: string | undefined;
}

export interface RouteRetry {
  readonly attempts: number;
  readonly codes: readonly number[];
  readonly backoffMs: number;
}

export interface RouteRule {
  /** "HTTPRoute/namespace/name", and the rule in it: its name, or its number. */
  readonly route: string;
  readonly name: string;
  readonly matches: readonly RouteMatch[];
  readonly filters: readonly RouteFilter[];
  readonly backends: readonly RouteBackend[];
  readonly cors: CorsRules | undefined;
  readonly requestTimeoutMs: number | undefined;
  readonly attemptTimeoutMs: number | undefined;
  readonly retry: RouteRetry | undefined;
  /** Why what it takes is answered with 500. */
  readonly invalid: string | undefined;
}

export interface RouteParent extends ServiceRef {
  /** Undefined: all of its ports. */
  readonly port: number | undefined;
}

export interface Route {
  /** As the resource is called: "HTTPRoute/namespace/name". */
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
  readonly createdMs: number;
  readonly parents: readonly RouteParent[];
  readonly rules: readonly RouteRule[];
}
