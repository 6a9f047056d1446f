import {
  createHash,
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  randomUUID,
  sign,
  verify,
} from 'node:crypto';

/** An object that a token or its account is about. */
export interface NamedObject {
  readonly name: string;
  readonly uid: string;
}

/** What a token is for; a binding ends the token with its object. */
export interface TokenRequest {
  readonly namespace: string;
  readonly serviceAccount: NamedObject;
  readonly audiences: readonly string[];
  readonly lifeSeconds: number;
  readonly pod?: NamedObject;
  readonly secret?: NamedObject;
  /** The node that the pod is on, or that the token is bound to by itself. */
  readonly node?: NamedObject;
}

/** What a signed token says; nothing about whether its objects are still there. */
export interface TokenClaims {
  readonly namespace: string;
  readonly serviceAccount: NamedObject;
  readonly audiences: readonly string[];
  readonly expiresMs: number;
  /** Names this one token in logs and in what the user may be asked about. */
  readonly id: string | undefined;
  readonly pod: NamedObject | undefined;
  readonly secret: NamedObject | undefined;
  readonly node: NamedObject | undefined;
}

export type TokenVerified =
  | { readonly kind: 'claims'; readonly claims: TokenClaims }
  | { readonly kind: 'refused'; readonly reason: string };

export interface TokensOptions {
  /** PKCS#8, PEM: RSA signs with RS256, ECDSA P-256 with ES256. */
  readonly signingKeyPem: string;
  /** `iss` of every token, and the base of the discovery document: an https URL. */
  readonly issuer: string;
}

interface Algorithm {
  readonly name: 'RS256' | 'ES256';
  /** Only ECDSA: JWTs carry r and s side by side, not as DER (RFC 7518 section 3.4). */
  readonly dsaEncoding?: 'ieee-p1363';
}

/** Longer ones are not read: ours are about 1 KB. */
const TOKEN_LENGTH_MAX = 16_384;
/** Clocks of processes on one machine agree; those of containers elsewhere may not quite. */
const NOT_BEFORE_LEEWAY_S = 10;
const CLAIM = 'kubernetes.io';

/** Signs and verifies service-account tokens: JWTs (RFC 7519) with the claims of Kubernetes' bound tokens. */
export class ServiceAccountTokens {
  readonly issuer: string;
  readonly #key: KeyObject;
  readonly #publicKey: KeyObject;
  readonly #algorithm: Algorithm;
  readonly #keyId: string;

  /** @throws Error when the key is neither RSA nor ECDSA P-256. */
  constructor(options: TokensOptions) {
    this.issuer = options.issuer;
    this.#key = createPrivateKey(options.signingKeyPem);
    this.#publicKey = createPublicKey(this.#key);
    this.#algorithm = algorithmOf(this.#key);
    const der = this.#publicKey.export({ type: 'spki', format: 'der' });
    this.#keyId = createHash('sha256').update(der).digest('base64url');
  }

  /** A new token, and when it ends. */
  issue(request: TokenRequest, nowMs: number): { token: string; expiresMs: number } {
    const issuedAt = Math.floor(nowMs / 1000);
    const expiresAt = issuedAt + request.lifeSeconds;
    const { namespace, serviceAccount, pod, secret, node } = request;
    const payload = {
      aud: request.audiences,
      exp: expiresAt,
      iat: issuedAt,
      iss: this.issuer,
      jti: randomUUID(),
      [CLAIM]: { namespace, node, pod, secret, serviceaccount: serviceAccount },
      nbf: issuedAt,
      sub: `system:serviceaccount:${namespace}:${serviceAccount.name}`,
    };
    const header = { alg: this.#algorithm.name, kid: this.#keyId };
    const content = `${encodePart(header)}.${encodePart(payload)}`;
    const signature = sign('sha256', Buffer.from(content), {
      key: this.#key,
      ...this.#encoding(),
    });
    return { token: `${content}.${signature.toString('base64url')}`, expiresMs: expiresAt * 1000 };
  }

  /** Whether we signed it, and whether it is its time. Audiences and bound objects are the caller's. */
  verify(token: string, nowMs: number): TokenVerified {
    if (token.length > TOKEN_LENGTH_MAX) return refused('the token is too long');
    const [header, payload, signature, ...rest] = token.split('.');
    if (header === undefined || payload === undefined || signature === undefined || rest.length > 0)
      return refused('the token is not a JWT: want three parts separated by "."');
    const head = decodePart(header);
    // Only our own algorithm: what the header says must not choose how it is checked.
    if (head?.['alg'] !== this.#algorithm.name) return refused('signing algorithm is not ours');
    if (!this.#signed(`${header}.${payload}`, signature)) return refused('invalid signature');
    const body = decodePart(payload);
    if (body === undefined) return refused('claims are not a JSON object');
    return this.#check(body, nowMs);
  }

  /** What relying parties verify our tokens with (RFC 7517). */
  keySet(): Record<string, unknown> {
    const key = this.#publicKey.export({ format: 'jwk' });
    return { keys: [{ use: 'sig', ...key, kid: this.#keyId, alg: this.#algorithm.name }] };
  }

  /** OpenID Connect discovery, as far as service-account tokens need it. */
  discoveryDocument(): Record<string, unknown> {
    return {
      issuer: this.issuer,
      jwks_uri: `${this.issuer}/openid/v1/jwks`,
      response_types_supported: ['id_token'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: [this.#algorithm.name],
    };
  }

  #signed(content: string, signature: string): boolean {
    const key = { key: this.#publicKey, ...this.#encoding() };
    return verify('sha256', Buffer.from(content), key, Buffer.from(signature, 'base64url'));
  }

  #encoding(): { dsaEncoding?: 'ieee-p1363' } {
    const { dsaEncoding } = this.#algorithm;
    return dsaEncoding === undefined ? {} : { dsaEncoding };
  }

  #check(body: Record<string, unknown>, nowMs: number): TokenVerified {
    const now = Math.floor(nowMs / 1000);
    const { iss, exp, nbf, aud, sub, jti } = body;
    if (iss !== this.issuer) return refused(`issuer is not ${JSON.stringify(this.issuer)}`);
    if (typeof exp !== 'number' || exp <= now) return refused('service account token has expired');
    if (typeof nbf === 'number' && nbf > now + NOT_BEFORE_LEEWAY_S)
      return refused('service account token is not valid yet');
    const bound = asObject(body[CLAIM]);
    const namespace = bound?.['namespace'];
    const serviceAccount = namedObject(bound?.['serviceaccount']);
    if (bound === undefined || typeof namespace !== 'string' || serviceAccount === undefined)
      return refused('service account claims are missing');
    if (sub !== `system:serviceaccount:${namespace}:${serviceAccount.name}`)
      return refused('subject and service account claims differ');
    const claims: TokenClaims = {
      namespace,
      serviceAccount,
      audiences: Array.isArray(aud) ? aud.map(String) : typeof aud === 'string' ? [aud] : [],
      expiresMs: exp * 1000,
      id: typeof jti === 'string' ? jti : undefined,
      pod: namedObject(bound['pod']),
      secret: namedObject(bound['secret']),
      node: namedObject(bound['node']),
    };
    return { kind: 'claims', claims };
  }
}

function algorithmOf(key: KeyObject): Algorithm {
  if (key.asymmetricKeyType === 'rsa') return { name: 'RS256' };
  if (key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1')
    return { name: 'ES256', dsaEncoding: 'ieee-p1363' };
  throw new Error(
    `Cannot sign tokens with a key of type ${String(key.asymmetricKeyType)}: want RSA or ECDSA P-256`,
  );
}

function refused(reason: string): TokenVerified {
  return { kind: 'refused', reason };
}

function encodePart(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function decodePart(text: string): Record<string, unknown> | undefined {
  try {
    return asObject(JSON.parse(Buffer.from(text, 'base64url').toString('utf8')));
  } catch {
    // Whatever a stranger sends as a token: not JSON is one answer among others.
    return undefined;
  }
}

function asObject(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined;
}

function namedObject(value: unknown): NamedObject | undefined {
  const object = asObject(value);
  const name = object?.['name'];
  if (typeof name !== 'string') return undefined;
  const uid = object?.['uid'];
  return { name, uid: typeof uid === 'string' ? uid : '' };
}
