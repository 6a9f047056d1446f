import type { CallContext } from '#common/grpc/server.ts';
import type { TokenVerdict } from '#kube/token-review.ts';

import type { Caller } from '../ca/authorize.ts';

/** Asks the API server whose token it is. May reject when the server can't be asked. */
export type TokenReviewer = (token: string) => Promise<TokenVerdict>;

export type Authentication =
  | { readonly kind: 'caller'; readonly caller: Caller }
  | { readonly kind: 'refused'; readonly reason: string }
  /** Nobody could be asked: not the caller's fault. */
  | { readonly kind: 'unavailable'; readonly reason: string };

/**
 * Asks about at most `max` tokens at a time; others are told that nobody can be asked. Who has no token asks as
 * easily as who has one.
 */
export function limitReviews(review: TokenReviewer, max: number): TokenReviewer {
  let underWay = 0;
  return async (token) => {
    if (underWay >= max) throw new Error(`${max} others wait already`);
    underWay++;
    try {
      return await review(token);
    } finally {
      underWay--;
    }
  };
}

const SERVICE_ACCOUNTS = 'system:serviceaccounts';
/** RFC 6750; tokens of Kubernetes are about 1 KB. */
const BEARER = /^Bearer ([\x21-\x7e]{1,16384})$/i;

/** Who calls, by the token in `authorization`. Never rejects. */
export async function authenticate(
  context: CallContext,
  review: TokenReviewer,
): Promise<Authentication> {
  const token = BEARER.exec(context.header('authorization') ?? '')?.[1];
  if (token === undefined) return refused('no bearer token');
  let verdict: TokenVerdict;
  try {
    verdict = await review(token);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { kind: 'unavailable', reason: `the token could not be reviewed: ${reason}` };
  }
  if (verdict.kind === 'refused') return refused(verdict.reason);
  const { serviceAccount, groups, username } = verdict.user;
  if (serviceAccount === undefined || !groups.includes(SERVICE_ACCOUNTS))
    return refused(`${username} is no service account`);
  const { namespace, name, pod } = serviceAccount;
  return { kind: 'caller', caller: { namespace, serviceAccount: name, pod } };
}

function refused(reason: string): Authentication {
  return { kind: 'refused', reason };
}
