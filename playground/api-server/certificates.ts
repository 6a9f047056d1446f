import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
} from 'node:crypto';

import { stringify } from 'yaml';

import { ipToBytes, parseIp } from '#common/net/address.ts';
import { type DistinguishedName, writeCertificate } from '#common/tls/x509-writer.ts';

/** A certificate with the key that it is about. The key is never logged. */
export interface KeyedCertificate {
  /** One PEM block. */
  readonly certificatePem: string;
  /** PKCS#8, PEM. */
  readonly privateKeyPem: string;
}

export interface CertificateRequest {
  /** As client: the user's name. */
  readonly commonName: string;
  /** As client: the user's groups. */
  readonly organizations?: readonly string[];
  /** As server: the names that clients may use. */
  readonly dns?: readonly string[];
  /** As server: the addresses that clients may use, IPv4 or IPv6 texts. */
  readonly addresses?: readonly string[];
}

export interface KubeconfigFields {
  /** Name of cluster, user and context. */
  readonly name: string;
  /** `https://host:port`. */
  readonly server: string;
  readonly authorityPem: string;
  readonly user: KeyedCertificate;
}

const AUTHORITY_NAME: DistinguishedName = { commonName: 'kubernetes' };
const DAY_MS = 86_400_000;
const AUTHORITY_LIFE_MS = 3650 * DAY_MS;
const LEAF_LIFE_MS = 365 * DAY_MS;
/** For the clocks of clients that are a little behind. */
const CLOCK_SKEW_MS = 60_000;

/** A new root for one cluster: it signs servers, users and nodes. */
export function newAuthority(nowMs: number): KeyedCertificate {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const certificatePem = writeCertificate({
    issuer: AUTHORITY_NAME,
    subject: AUTHORITY_NAME,
    notBeforeMs: nowMs - CLOCK_SKEW_MS,
    notAfterMs: nowMs + AUTHORITY_LIFE_MS,
    publicKey,
    issuerPrivateKey: privateKey,
    issuerPublicKey: publicKey,
    authority: true,
    endpoint: false,
  });
  return { certificatePem, privateKeyPem: pkcs8(privateKey) };
}

/**
 * A certificate with a new key, signed by the cluster's authority, good for a year, as client and as server.
 *
 * @throws Error when an address is none.
 */
export function issueCertificate(
  authority: KeyedCertificate,
  request: CertificateRequest,
  nowMs: number,
): KeyedCertificate {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const issuerPrivateKey = createPrivateKey(authority.privateKeyPem);
  const dns = request.dns ?? [];
  const addresses = (request.addresses ?? []).map(addressBytes);
  const certificatePem = writeCertificate({
    issuer: AUTHORITY_NAME,
    subject: { organizations: request.organizations ?? [], commonName: request.commonName },
    ...(dns.length + addresses.length > 0 ? { names: { dns, addresses } } : {}),
    notBeforeMs: nowMs - CLOCK_SKEW_MS,
    notAfterMs: nowMs + LEAF_LIFE_MS,
    publicKey,
    issuerPrivateKey,
    issuerPublicKey: createPublicKey(issuerPrivateKey),
    authority: false,
    endpoint: true,
  });
  return { certificatePem, privateKeyPem: pkcs8(privateKey) };
}

/** What a kubelet needs: it is the user `system:node:NAME`, and a server under its name and address. */
export function issueNodeCertificate(
  authority: KeyedCertificate,
  node: { readonly name: string; readonly addresses: readonly string[] },
  nowMs: number,
): KeyedCertificate {
  const request: CertificateRequest = {
    commonName: `system:node:${node.name}`,
    organizations: ['system:nodes'],
    dns: [node.name],
    addresses: node.addresses,
  };
  return issueCertificate(authority, request, nowMs);
}

/** A new key for signing service-account tokens: ECDSA P-256, PKCS#8, PEM. */
export function newTokenKey(): string {
  return pkcs8(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
}

/** A kubeconfig with one cluster, one user with its key inside, and one context. */
export function kubeconfigText(fields: KubeconfigFields): string {
  const { name } = fields;
  const cluster = {
    server: fields.server,
    'certificate-authority-data': base64(fields.authorityPem),
  };
  const user = {
    'client-certificate-data': base64(fields.user.certificatePem),
    'client-key-data': base64(fields.user.privateKeyPem),
  };
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': name,
    clusters: [{ name, cluster }],
    users: [{ name, user }],
    contexts: [{ name, context: { cluster: name, user: name } }],
  };
  // Folded lines would be legal YAML too, but some tools read kubeconfigs line by line.
  return stringify(config, { lineWidth: 0 });
}

function pkcs8(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' });
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

function addressBytes(text: string): Uint8Array {
  const address = parseIp(text);
  if (address === undefined)
    throw new Error(`Cannot certify the address ${JSON.stringify(text)}: want IPv4 or IPv6`);
  return ipToBytes(address);
}
