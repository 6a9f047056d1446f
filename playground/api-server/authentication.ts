import type { NamedObject, ServiceAccountTokens, TokenClaims } from './tokens.ts';

/** Who asks, as authorization, admission and TokenReview know it. */
export interface UserInfo {
  readonly username: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

/** What a request shows of its sender. */
export interface Proof {
  /** The subject of a client certificate that the cluster's authority signed. */
  readonly certificate?: { readonly commonName: string; readonly organizations: readonly string[] };
  /** The sender showed a certificate that nobody we trust has signed, or that is out of date. */
  readonly certificateRefused?: string;
  /** Value of the `authorization` header. */
  readonly authorization?: string;
}

export type Authentication =
  | { readonly kind: 'user'; readonly user: UserInfo }
  | { readonly kind: 'refused'; readonly reason: string };

export type TokenAuthentication =
  | { readonly kind: 'user'; readonly user: UserInfo; readonly audiences: readonly string[] }
  | { readonly kind: 'refused'; readonly reason: string };

/** The objects that tokens are bound to: a token is good as long as they are there. */
export interface BoundObjects {
  /** The uid of the object of that name; undefined when there is none. */
  uidOf(
    kind: 'ServiceAccount' | 'Pod' | 'Secret' | 'Node',
    namespace: string,
    name: string,
  ): string | undefined;
  /** When the pod's deletion is due, milliseconds since the epoch; undefined when it is not being deleted. */
  podDeletionMs(namespace: string, name: string): number | undefined;
}

export interface AuthenticatorOptions {
  readonly tokens: ServiceAccountTokens;
  /** Audiences under which this server itself is addressed. */
  readonly audiences: readonly string[];
  readonly objects: BoundObjects;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

export const ALL_AUTHENTICATED = 'system:authenticated';
export const ALL_UNAUTHENTICATED = 'system:unauthenticated';
const ANONYMOUS: UserInfo = {
  username: 'system:anonymous',
  groups: [ALL_UNAUTHENTICATED],
  extra: {},
};
const EXTRA = 'authentication.kubernetes.io/';
/** A pod that is on its way out may still finish its last calls. */
const DELETED_POD_LEEWAY_MS = 60_000;

/** Tells users from what they show: client certificates and service-account tokens. */
export class Authenticator {
  readonly #options: AuthenticatorOptions;

  constructor(options: AuthenticatorOptions) {
    this.#options = options;
  }

  /** Wrong proof refuses, no proof is the anonymous user. */
  authenticate(proof: Proof): Authentication {
    if (proof.authorization !== undefined) {
      const token = bearerToken(proof.authorization);
      // As a real server: any other scheme is no proof, but a certificate may still be one.
      if (token !== undefined) return this.authenticateToken(token, []);
    }
    if (proof.certificateRefused !== undefined)
      return { kind: 'refused', reason: proof.certificateRefused };
    if (proof.certificate === undefined) return { kind: 'user', user: ANONYMOUS };
    return certificateUser(proof.certificate);
  }

  /**
   * The user of a token for at least one of these audiences (none: this server's own), and for which
   * of them it is good.
   */
  authenticateToken(token: string, audiences: readonly string[]): TokenAuthentication {
    const { tokens, now } = this.#options;
    const verified = tokens.verify(token, now());
    if (verified.kind === 'refused') return verified;
    const { claims } = verified;
    const wanted = audiences.length === 0 ? this.#options.audiences : audiences;
    const matching = wanted.filter((audience) => claims.audiences.includes(audience));
    if (matching.length === 0)
      return refused(
        `token audiences ${JSON.stringify(claims.audiences)} is invalid for the target audiences ${JSON.stringify(wanted)}`,
      );
    const missing = this.#missingObject(claims);
    if (missing !== undefined) return refused(missing);
    return { kind: 'user', user: tokenUser(claims), audiences: matching };
  }

  #missingObject(claims: TokenClaims): string | undefined {
    const { namespace, serviceAccount, pod, secret, node } = claims;
    const { objects, now } = this.#options;
    const gone = (kind: Parameters<BoundObjects['uidOf']>[0], object: NamedObject | undefined) =>
      object !== undefined &&
      objects.uidOf(kind, kind === 'Node' ? '' : namespace, object.name) !== object.uid;
    if (gone('ServiceAccount', serviceAccount))
      return `service account ${namespace}/${serviceAccount.name} has been deleted`;
    if (gone('Pod', pod)) return 'pod has been deleted';
    if (gone('Secret', secret)) return 'secret has been deleted';
    // The node of a pod-bound token is a remark about the pod; only a token of its own ends with the node.
    if (pod === undefined && gone('Node', node)) return 'node has been deleted';
    const deletionMs = pod && objects.podDeletionMs(namespace, pod.name);
    if (deletionMs !== undefined && now() > deletionMs + DELETED_POD_LEEWAY_MS)
      return 'pod has been deleted';
    return undefined;
  }
}

/** The groups that every service account of a namespace is in. */
export function serviceAccountGroups(namespace: string): readonly string[] {
  return ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, ALL_AUTHENTICATED];
}

function certificateUser(certificate: NonNullable<Proof['certificate']>): Authentication {
  const { commonName, organizations } = certificate;
  if (commonName === '') return refused('the client certificate names no user: want a common name');
  const user = { username: commonName, groups: [...organizations, ALL_AUTHENTICATED], extra: {} };
  return { kind: 'user', user };
}

function tokenUser(claims: TokenClaims): UserInfo {
  const { namespace, serviceAccount, pod, node, id } = claims;
  const extra: Record<string, readonly string[]> = {};
  if (id !== undefined) extra[`${EXTRA}credential-id`] = [`JTI=${id}`];
  if (node !== undefined) {
    extra[`${EXTRA}node-name`] = [node.name];
    extra[`${EXTRA}node-uid`] = [node.uid];
  }
  if (pod !== undefined) {
    extra[`${EXTRA}pod-name`] = [pod.name];
    extra[`${EXTRA}pod-uid`] = [pod.uid];
  }
  return {
    username: `system:serviceaccount:${namespace}:${serviceAccount.name}`,
    uid: serviceAccount.uid,
    groups: serviceAccountGroups(namespace),
    extra,
  };
}

function bearerToken(authorization: string): string | undefined {
  const match = /^bearer +(\S+) *$/i.exec(authorization);
  return match?.[1];
}

function refused(reason: string): { kind: 'refused'; reason: string } {
  return { kind: 'refused', reason };
}
