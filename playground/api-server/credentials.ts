import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import {
  issueCertificate,
  type KeyedCertificate,
  kubeconfigText,
  newAuthority,
  newTokenKey,
} from './certificates.ts';

/** What an API server needs to be trusted and to trust, kept in a directory over restarts. */
export interface ClusterCredentials {
  /** Signs servers, users and nodes. */
  readonly authority: KeyedCertificate;
  /** Signs service-account tokens. */
  readonly tokenKeyPem: string;
  /** Under which this server is known to its clients. */
  readonly server: KeyedCertificate;
  /** As what this server signs in at kubelets. */
  readonly kubeletClient: KeyedCertificate;
  /** May do everything. */
  readonly admin: KeyedCertificate;
}

export interface CredentialsOptions {
  /** Further names and addresses under which clients reach this server. */
  readonly serverNames: readonly string[];
  readonly serverAddresses: readonly string[];
  /** Milliseconds since the epoch. */
  readonly nowMs: number;
}

const SERVICE_NAMES = [
  'kubernetes',
  'kubernetes.default',
  'kubernetes.default.svc',
  'kubernetes.default.svc.cluster.local',
  'localhost',
];
const KEY_MODE = 0o600;

/**
 * Reads a cluster's credentials from `DIRECTORY/pki`, making what is missing. The server's certificate
 * is made anew each time: its addresses may have changed.
 *
 * @throws Error when a file cannot be read or written
 */
export function openCredentials(
  directory: string,
  options: CredentialsOptions,
): ClusterCredentials {
  const { nowMs } = options;
  const pki = join(directory, 'pki');
  mkdirSync(pki, { recursive: true, mode: 0o700 });
  const authority = kept(pki, 'ca', () => newAuthority(nowMs));
  const issue = (commonName: string, group: string) => () =>
    issueCertificate(authority, { commonName, organizations: [group] }, nowMs);
  const server = issueCertificate(
    authority,
    {
      commonName: 'kube-apiserver',
      dns: [...SERVICE_NAMES, ...options.serverNames],
      addresses: [...new Set(['127.0.0.1', '10.96.0.1', ...options.serverAddresses])],
    },
    nowMs,
  );
  writeKeyed(pki, 'apiserver', server);
  return {
    authority,
    tokenKeyPem: keptKey(join(pki, 'sa.key')),
    server,
    kubeletClient: kept(
      pki,
      'apiserver-kubelet-client',
      issue('kube-apiserver-kubelet-client', 'system:masters'),
    ),
    admin: kept(pki, 'admin', issue('kubernetes-admin', 'system:masters')),
  };
}

/** Writes a kubeconfig of the cluster's administrator, readable by its owner only. */
export function writeKubeconfig(
  file: string,
  credentials: ClusterCredentials,
  cluster: { readonly name: string; readonly server: string },
): void {
  const text = kubeconfigText({
    ...cluster,
    authorityPem: credentials.authority.certificatePem,
    user: credentials.admin,
  });
  writeSecret(file, text);
}

function kept(directory: string, name: string, make: () => KeyedCertificate): KeyedCertificate {
  const certificateFile = join(directory, `${name}.crt`);
  const keyFile = join(directory, `${name}.key`);
  if (existsSync(certificateFile) && existsSync(keyFile))
    return {
      certificatePem: readFileSync(certificateFile, 'utf8'),
      privateKeyPem: readFileSync(keyFile, 'utf8'),
    };
  const made = make();
  writeKeyed(directory, name, made);
  return made;
}

function keptKey(file: string): string {
  if (existsSync(file)) return readFileSync(file, 'utf8');
  const key = newTokenKey();
  writeSecret(file, key);
  return key;
}

function writeKeyed(directory: string, name: string, keyed: KeyedCertificate): void {
  // The key first: a certificate is only looked for together with its key.
  writeSecret(join(directory, `${name}.key`), keyed.privateKeyPem);
  writeFileSync(join(directory, `${name}.crt`), keyed.certificatePem);
}

/** Whole or not at all, and never readable by others. */
function writeSecret(file: string, text: string): void {
  const temporary = `${file}.${process.pid}`;
  writeFileSync(temporary, text, { mode: KEY_MODE });
  chmodSync(temporary, KEY_MODE);
  renameSync(temporary, file);
}
