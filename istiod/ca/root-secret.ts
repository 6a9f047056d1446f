import type { Clock } from '#common/clock.ts';
import type { KubeClient } from '#kube/client.ts';
import { isAlreadyExists, isNotFound } from '#kube/errors.ts';
import { SECRETS, type Secret } from '#kube/resources.ts';

import { type CertificateRoot, newRoot, privateKeyPem, readRoot } from './root.ts';

const NAME = 'istio-ca-secret';
const TYPE = 'istio.io/ca-root';
const CERTIFICATE = 'ca-cert.pem';
const KEY = 'ca-key.pem';

/** What the root is kept with. */
export type SecretStore = Pick<KubeClient, 'get' | 'create'>;

/**
 * The root that the cluster keeps; the first control plane to come makes it, and all others read what the
 * first has made.
 *
 * @throws KubeError, KubeConnectionError when the API server could not be asked; Error when what it keeps
 *   is no root that can be used: a new one is never made in its place, since workloads trust the old one.
 */
export async function keptRoot(
  store: SecretStore,
  options: {
    readonly namespace: string;
    readonly organization: string;
    readonly clock: Pick<Clock, 'now'>;
  },
): Promise<CertificateRoot> {
  const { namespace, organization, clock } = options;
  const found = await existing(store, namespace);
  if (found !== undefined) return rootOf(found, namespace, clock.now());
  const root = newRoot(organization, clock.now());
  try {
    await store.create(SECRETS, secretOf(root, namespace));
    return root;
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
    // Another control plane was faster: its root is the root.
    return rootOf(await store.get(SECRETS, NAME, namespace), namespace, clock.now());
  }
}

async function existing(store: SecretStore, namespace: string): Promise<Secret | undefined> {
  try {
    return await store.get(SECRETS, NAME, namespace);
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

function rootOf(secret: Secret, namespace: string, nowMs: number): CertificateRoot {
  const text = (key: string) => Buffer.from(secret.data?.[key] ?? '', 'base64').toString('utf8');
  const read = readRoot(text(CERTIFICATE), text(KEY), nowMs);
  if (read.kind === 'root') return read.root;
  throw new Error(
    `Cannot use the root in Secret "${namespace}/${NAME}": ${read.reason}. Delete it to have a new one made, which ends trust in all certificates that were issued`,
  );
}

function secretOf(root: CertificateRoot, namespace: string): Secret {
  const data = new Map([
    [CERTIFICATE, root.certificatePem],
    [KEY, privateKeyPem(root)],
    ['root-cert.pem', root.certificatePem],
    // Other readers expect the names, for chains that this root does not have.
    ['cert-chain.pem', ''],
    ['key.pem', ''],
  ]);
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: NAME, namespace },
    type: TYPE,
    data: Object.fromEntries(
      [...data].map(([key, text]) => [key, Buffer.from(text).toString('base64')]),
    ),
  };
}
