import { formatIdentity, type Identity, identityParts, parseIdentity } from '#common/tls/spiffe.ts';

import { objectKey } from '../model/metadata.ts';
import { isFinished, type PodRecord } from '../model/pod.ts';

/** A service account whose token was checked. */
export interface Caller {
  readonly namespace: string;
  readonly serviceAccount: string;
  /** The pod that the token was made for. */
  readonly pod: { readonly name: string; readonly uid: string } | undefined;
}

/** What is known of the cluster. */
export interface SigningView {
  readonly trustDomain: string;
  /** `namespace/name` of the service accounts that may act for the pods of their own node. */
  readonly trustedNodeAccounts: ReadonlySet<string>;
  /** By `namespace/name`. */
  pod(key: string): PodRecord | undefined;
  /** The pods of one service account on one node. */
  podsOf(namespace: string, serviceAccount: string, node: string): readonly PodRecord[];
}

export type SigningVerdict =
  | { readonly kind: 'allowed'; readonly identity: Identity }
  /** A pod is not known; it may be so new that we have not heard of it. */
  | { readonly kind: 'unknown-pod'; readonly reason: string }
  | { readonly kind: 'refused'; readonly reason: string };

/** What is no identity goes into a log, and back. */
const SAID_MAX = 512;

/**
 * Whom a certificate may be made for. Undefined asks for the caller's own identity; any other can be had
 * only by node proxies, and only if a pod of that identity runs on their own node.
 */
export function authorizeSigning(
  caller: Caller,
  wanted: string | undefined,
  view: SigningView,
): SigningVerdict {
  if (wanted === undefined) return ownIdentity(caller, view);
  const account = `${caller.namespace}/${caller.serviceAccount}`;
  if (!view.trustedNodeAccounts.has(account))
    return refused(`service account ${account} may not act for others`);
  if (caller.pod === undefined) return refused('the token is not bound to a pod');
  const identity = parseIdentity(wanted);
  if (identity === undefined)
    return refused(`${JSON.stringify(wanted.slice(0, SAID_MAX))} is no identity of this mesh`);
  const { trustDomain, namespace, serviceAccount } = identityParts(identity);
  if (trustDomain !== view.trustDomain)
    return refused(`the trust domain of ${identity} is not ${view.trustDomain}`);
  const node = nodeOf(caller, caller.pod, view);
  if (node.kind !== 'node') return node;
  const onNode = view.podsOf(namespace, serviceAccount, node.name);
  return onNode.some((pod) => !isFinished(pod))
    ? { kind: 'allowed', identity }
    : unknownPod(`no pod of ${identity} runs on node ${node.name}`);
}

function ownIdentity(caller: Caller, { trustDomain }: SigningView): SigningVerdict {
  const { namespace, serviceAccount } = caller;
  const identity = formatIdentity({ trustDomain, namespace, serviceAccount });
  return identity === undefined
    ? refused('the service account has no identity of this mesh')
    : { kind: 'allowed', identity };
}

/** Where the caller's pod runs: what the cluster says, never what the caller says. */
function nodeOf(
  caller: Caller,
  { name, uid }: { readonly name: string; readonly uid: string },
  view: SigningView,
): { readonly kind: 'node'; readonly name: string } | Exclude<SigningVerdict, { kind: 'allowed' }> {
  const key = objectKey({ namespace: caller.namespace, name });
  const pod = view.pod(key);
  if (pod === undefined) return unknownPod(`the caller's pod ${key} is not known`);
  // A pod of the same name may have been replaced: we have not heard yet, or the token is of the former.
  if (pod.uid !== uid)
    return unknownPod(`the caller's pod ${key} is another than that of its token`);
  if (pod.serviceAccount !== caller.serviceAccount)
    return refused(`the caller's pod ${key} has another service account`);
  if (pod.node === '') return unknownPod(`the caller's pod ${key} is on no node`);
  return { kind: 'node', name: pod.node };
}

function refused(reason: string): { readonly kind: 'refused'; readonly reason: string } {
  return { kind: 'refused', reason };
}

function unknownPod(reason: string): { readonly kind: 'unknown-pod'; readonly reason: string } {
  return { kind: 'unknown-pod', reason };
}
