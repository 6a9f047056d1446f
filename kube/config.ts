import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { rootCertificates } from 'node:tls';

import { parse } from 'yaml';

import type { KubeCredentials } from './transport.ts';

/** Whom to ask, as whom, and about which namespace when none is named. */
export interface KubeConfig {
  readonly credentials: KubeCredentials;
  readonly namespace: string;
}

/** Where a pod finds what its service account gives it. */
const SERVICE_ACCOUNT_DIRECTORY = '/var/run/secrets/kubernetes.io/serviceaccount';

/**
 * The credentials of the pod that this process runs in. The token is read again for each request: the
 * kubelet replaces it.
 *
 * @throws Error when this is no pod, or one without a service account's token.
 */
export function inClusterCredentials(
  env: Readonly<Record<string, string | undefined>> = process.env,
  directory: string = SERVICE_ACCOUNT_DIRECTORY,
): KubeCredentials {
  const host = env['KUBERNETES_SERVICE_HOST'];
  const port = env['KUBERNETES_SERVICE_PORT'];
  if (host === undefined || host === '' || port === undefined || port === '') {
    throw new Error(
      'Cannot find the API server: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set, as they are in every pod',
    );
  }
  const tokenFile = join(directory, 'token');
  readText(tokenFile, 'token of the service account');
  return {
    server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
    caPem: readText(join(directory, 'ca.crt'), 'certificate of the cluster'),
    token: () => readText(tokenFile, 'token of the service account').trim(),
  };
}

/** The namespace of the pod that this process runs in. @throws Error when this is no pod. */
export function inClusterNamespace(directory: string = SERVICE_ACCOUNT_DIRECTORY): string {
  return readText(join(directory, 'namespace'), 'namespace of the pod').trim();
}

export function kubeconfigCredentials(text: string): KubeCredentials {
  return readKubeconfig(text).credentials;
}

/**
 * Reads a kubeconfig: the context of that name, or the current one. Files that it names are relative
 * to `directory`.
 *
 * @throws Error naming what is missing, and for ways to sign in that need another program.
 */
export function readKubeconfig(
  text: string,
  options: { readonly context?: string; readonly directory?: string } = {},
): KubeConfig {
  const config = record(parse(text), 'kubeconfig');
  const name = options.context ?? textIn(config, 'current-context');
  if (name === undefined) throw problem('it has no current-context');
  const context = entry(config, 'contexts', 'context', name);
  const cluster = entry(config, 'clusters', 'cluster', required(context, 'cluster', name));
  const user = entry(config, 'users', 'user', required(context, 'user', name));
  return {
    credentials: credentials(cluster, user, options.directory ?? '.'),
    namespace: textIn(context, 'namespace') ?? 'default',
  };
}

type Fields = Readonly<Record<string, unknown>>;

function credentials(cluster: Fields, user: Fields, directory: string): KubeCredentials {
  if (cluster['insecure-skip-tls-verify'] === true) {
    throw problem(
      'it says insecure-skip-tls-verify, which is not supported; want certificate-authority-data',
    );
  }
  for (const program of ['exec', 'auth-provider', 'username']) {
    if (user[program] !== undefined) {
      throw problem(
        `its user signs in by "${program}", which is not supported; want a client certificate or a token`,
      );
    }
  }
  const clientCertificatePem = pem(user, 'client-certificate', directory);
  const clientKeyPem = pem(user, 'client-key', directory);
  const token = tokenOf(user, directory);
  const serverName = textIn(cluster, 'tls-server-name');
  return {
    server: required(cluster, 'server', 'cluster'),
    // Without one, kubectl trusts what the machine trusts.
    caPem: pem(cluster, 'certificate-authority', directory) ?? rootCertificates.join('\n'),
    ...(clientCertificatePem === undefined ? {} : { clientCertificatePem }),
    ...(clientKeyPem === undefined ? {} : { clientKeyPem }),
    ...(token === undefined ? {} : { token }),
    ...(serverName === undefined ? {} : { serverName }),
  };
}

/** A file wins over a token in the text, as with kubectl. */
function tokenOf(user: Fields, directory: string): (() => string) | undefined {
  const file = textIn(user, 'tokenFile');
  if (file !== undefined) return () => readText(resolve(directory, file), 'token').trim();
  const token = textIn(user, 'token');
  return token === undefined ? undefined : () => token;
}

/** `<field>-data` holds it in base64 and wins over `<field>`, which names a file. */
function pem(fields: Fields, field: string, directory: string): string | undefined {
  const data = textIn(fields, `${field}-data`);
  if (data !== undefined) return Buffer.from(data, 'base64').toString('utf8');
  const file = textIn(fields, field);
  return file === undefined ? undefined : readText(resolve(directory, file), field);
}

function entry(config: Fields, list: string, field: string, name: string): Fields {
  const entries: unknown = config[list];
  const found: unknown = Array.isArray(entries)
    ? entries.find((each: unknown) => isFields(each) && each['name'] === name)
    : undefined;
  if (!isFields(found)) throw problem(`it has no ${field} "${name}"`);
  return record(found[field], `${field} "${name}"`);
}

function required(fields: Fields, field: string, where: string): string {
  const value = textIn(fields, field);
  if (value === undefined) throw problem(`"${where}" has no ${field}`);
  return value;
}

function textIn(fields: Fields, field: string): string | undefined {
  const value = fields[field];
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function record(value: unknown, what: string): Fields {
  if (isFields(value)) return value;
  throw problem(`its ${what} is not a map`);
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function problem(why: string): Error {
  return new Error(`Cannot use the kubeconfig: ${why}`);
}

function readText(path: string, what: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`Cannot read the ${what}: ${why}`, { cause });
  }
}
