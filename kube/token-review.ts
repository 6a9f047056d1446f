import type { KubeClient } from './client.ts';
import { TOKEN_REVIEWS, type TokenReview } from './resources.ts';

/** Whom a token speaks for. */
export interface TokenUser {
  /** `system:serviceaccount:<namespace>:<name>` for service accounts. */
  readonly username: string;
  readonly uid: string;
  readonly groups: readonly string[];
  /** Of a service account's token, when it was given for one pod. */
  readonly serviceAccount?: {
    readonly namespace: string;
    readonly name: string;
    readonly pod?: { readonly name: string; readonly uid: string };
    readonly node?: string;
  };
}

export type TokenVerdict =
  | { readonly kind: 'authenticated'; readonly user: TokenUser }
  | { readonly kind: 'refused'; readonly reason: string };

const POD_NAME = 'authentication.kubernetes.io/pod-name';
const POD_UID = 'authentication.kubernetes.io/pod-uid';
const NODE_NAME = 'authentication.kubernetes.io/node-name';

/**
 * Asks the API server whose token this is. A token that was made for none of `audiences` is refused.
 *
 * @throws KubeError, KubeConnectionError when the server could not be asked: not a refusal, try again.
 */
export async function reviewToken(
  client: KubeClient,
  token: string,
  audiences: readonly string[],
): Promise<TokenVerdict> {
  const review = await client.create(TOKEN_REVIEWS, {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenReview',
    metadata: { name: '' },
    spec: { token, audiences },
  });
  return readVerdict(review.status, audiences);
}

/** What a review says (pure). */
export function readVerdict(
  status: TokenReview['status'],
  audiences: readonly string[],
): TokenVerdict {
  if (status?.authenticated !== true) return refused(status?.error ?? 'The token is not valid');
  // A server that knows no audiences leaves them out of its answer: the token may be for anything.
  const confirmed = status.audiences ?? [];
  if (audiences.length > 0 && !confirmed.some((audience) => audiences.includes(audience))) {
    return refused(`The token is not for ${audiences.map((each) => `"${each}"`).join(' or ')}`);
  }
  const { username = '', uid = '', groups = [], extra = {} } = status.user ?? {};
  if (username === '') return refused('The review names no user');
  const serviceAccount = serviceAccountOf(username, extra);
  return {
    kind: 'authenticated',
    user: { username, uid, groups, ...(serviceAccount === undefined ? {} : { serviceAccount }) },
  };
}

function serviceAccountOf(
  username: string,
  extra: Readonly<Record<string, readonly string[]>>,
): TokenUser['serviceAccount'] {
  const [system, kind, namespace, name, ...more] = username.split(':');
  if (system !== 'system' || kind !== 'serviceaccount' || more.length > 0) return undefined;
  if (namespace === undefined || namespace === '' || name === undefined || name === '') {
    return undefined;
  }
  const podName = extra[POD_NAME]?.[0];
  const podUid = extra[POD_UID]?.[0];
  const node = extra[NODE_NAME]?.[0];
  return {
    namespace,
    name,
    ...(podName === undefined || podUid === undefined
      ? {}
      : { pod: { name: podName, uid: podUid } }),
    ...(node === undefined ? {} : { node }),
  };
}

function refused(reason: string): TokenVerdict {
  return { kind: 'refused', reason };
}
