import { expect } from 'chai';
import { beforeEach, describe, it } from 'mocha';

import { newRoot, privateKeyPem } from '#istiod/ca/root.ts';
import { keptRoot, type SecretStore } from '#istiod/ca/root-secret.ts';
import { KubeError } from '#kube/errors.ts';
import type { Secret } from '#kube/resources.ts';
import { ManualClock } from '#tests/support/manual-clock.ts';

function failure(code: number, reason: string): KubeError {
  return new KubeError({
    kind: 'Status',
    apiVersion: 'v1',
    status: 'Failure',
    code,
    reason,
    message: reason,
  });
}

/** Secrets, as far as a root needs them. */
class Secrets {
  readonly kept = new Map<string, Secret>();
  /** Called before something is created. */
  meanwhile: () => void = () => undefined;

  get store(): SecretStore {
    return {
      get: async (_kind: unknown, name: string, namespace?: string) => {
        const secret = this.kept.get(`${namespace}/${name}`);
        if (secret === undefined) throw failure(404, 'NotFound');
        return secret;
      },
      create: async (_kind: unknown, object: Secret) => {
        this.meanwhile();
        const key = `${object.metadata.namespace}/${object.metadata.name}`;
        if (this.kept.has(key)) throw failure(409, 'AlreadyExists');
        this.kept.set(key, object);
        return object;
      },
    } as unknown as SecretStore;
  }

  text(key: string): string {
    const data = this.kept.get('istio-system/istio-ca-secret')?.data ?? {};
    return Buffer.from(data[key] ?? '', 'base64').toString();
  }
}

const encoded = (text: string) => Buffer.from(text).toString('base64');

describe('keptRoot()', () => {
  const clock = new ManualClock();
  const options = { namespace: 'istio-system', organization: 'cluster.local', clock };
  let secrets: Secrets;
  beforeEach(() => {
    secrets = new Secrets();
  });

  it('makes a root when there is none, and keeps it where others look for it', async () => {
    const root = await keptRoot(secrets.store, options);
    expect(secrets.kept.get('istio-system/istio-ca-secret')?.type).to.equal('istio.io/ca-root');
    expect(secrets.text('ca-cert.pem')).to.equal(root.certificatePem);
    expect(secrets.text('root-cert.pem')).to.equal(root.certificatePem);
    expect(secrets.text('ca-key.pem')).to.equal(privateKeyPem(root));
  });

  it('reads the one that is there', async () => {
    const made = await keptRoot(secrets.store, options);
    const read = await keptRoot(secrets.store, options);
    expect(read.certificatePem).to.equal(made.certificatePem);
    expect(read.privateKey.equals(made.privateKey)).to.equal(true);
  });

  it('takes the root of whoever was faster', async () => {
    const other = new Secrets();
    const first = await keptRoot(other.store, options);
    secrets.meanwhile = () => {
      for (const [key, secret] of other.kept) secrets.kept.set(key, secret);
    };
    const root = await keptRoot(secrets.store, options);
    expect(root.certificatePem).to.equal(first.certificatePem);
  });

  it('does not replace a root that it can not use, but says what is wrong', async () => {
    const root = newRoot('cluster.local', clock.now());
    const other = newRoot('cluster.local', clock.now());
    const data = {
      'ca-cert.pem': encoded(root.certificatePem),
      'ca-key.pem': encoded(privateKeyPem(other)),
    };
    const metadata = { name: 'istio-ca-secret', namespace: 'istio-system' };
    const bad: Secret = { apiVersion: 'v1', kind: 'Secret', metadata, data };
    secrets.kept.set('istio-system/istio-ca-secret', bad);
    let message = '';
    await keptRoot(secrets.store, options).catch((error: Error) => {
      message = error.message;
    });
    expect(message).to.match(
      /^Cannot use the root in Secret "istio-system\/istio-ca-secret": key and certificate do not belong together/,
    );
    expect(secrets.kept.get('istio-system/istio-ca-secret')).to.equal(bad);
  });
});
