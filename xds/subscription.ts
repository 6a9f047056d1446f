import type { DeltaDiscoveryRequest } from '#api/gen/discovery_pb.ts';

/** Subscribed: all resources of the type. */
export const WILDCARD = '*';

/** What a client wants of one type. */
export interface Subscription {
  /** All resources; then names are not kept, for there would be as many as resources. */
  wildcard: boolean;
  /** What else is asked for by name, aliases included; empty while `wildcard`. */
  readonly names: Set<string>;
}

/** What a request asks the server to do, besides what it says about the last response. */
export type Wish =
  /** The first request for its type on this stream. `known`: name → version that the client holds. */
  | { readonly kind: 'begin'; readonly known: ReadonlyMap<string, string> }
  /** Names that are asked for now, which have to be answered even when there is nothing to say. */
  | { readonly kind: 'more'; readonly names: readonly string[] }
  | { readonly kind: 'nothing' };

/** What a request says about a response: its nonce, and why it was refused. */
export type Verdict =
  | { readonly kind: 'none' }
  | { readonly kind: 'accepted'; readonly nonce: string }
  | { readonly kind: 'refused'; readonly nonce: string; readonly message: string };

/** Enough to see what is wrong: it is kept, and goes into a log. */
const MESSAGE_MAX = 4_096;

export function verdictOf({ responseNonce, errorDetail }: DeltaDiscoveryRequest): Verdict {
  if (errorDetail !== undefined) {
    const message = errorDetail.message.slice(0, MESSAGE_MAX);
    return { kind: 'refused', nonce: responseNonce, message };
  }
  return responseNonce === '' ? { kind: 'none' } : { kind: 'accepted', nonce: responseNonce };
}

/**
 * The first request of a type: without names it subscribes to everything; `*` together with an
 * unsubscription of `*` subscribes to nothing yet.
 */
export function beginSubscription(request: DeltaDiscoveryRequest): {
  readonly subscription: Subscription;
  readonly wish: Wish;
} {
  const { resourceNamesSubscribe, resourceNamesUnsubscribe, initialResourceVersions } = request;
  const known = new Map(Object.entries(initialResourceVersions));
  const names = new Set([...resourceNamesSubscribe, ...known.keys()]);
  for (const name of resourceNamesUnsubscribe) names.delete(name);
  const wildcard = names.has(WILDCARD) || resourceNamesSubscribe.length === 0;
  if (wildcard) names.clear();
  // A name that is asked for and not held has to be answered: with the resource, or as removed.
  for (const name of resourceNamesSubscribe) {
    if (name !== WILDCARD && !known.has(name)) known.set(name, '');
  }
  for (const name of resourceNamesUnsubscribe) known.delete(name);
  return { subscription: { wildcard, names }, wish: { kind: 'begin', known } };
}

/** A later request of the type. Changes the subscription. */
export function changeSubscription(
  subscription: Subscription,
  request: DeltaDiscoveryRequest,
): Wish {
  const asked = request.resourceNamesSubscribe;
  if (asked.includes(WILDCARD) && !subscription.wildcard) {
    subscription.wildcard = true;
    subscription.names.clear();
    return { kind: 'begin', known: new Map() };
  }
  for (const name of request.resourceNamesUnsubscribe) {
    if (name === WILDCARD) subscription.wildcard = false;
    else subscription.names.delete(name);
  }
  const names = asked.filter((name) => name !== WILDCARD);
  if (!subscription.wildcard) for (const name of names) subscription.names.add(name);
  return names.length === 0 ? { kind: 'nothing' } : { kind: 'more', names };
}
