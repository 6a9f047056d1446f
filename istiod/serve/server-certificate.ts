import { generateKeyPairSync } from 'node:crypto';

import type { Clock } from '#common/clock.ts';
import type { ServerCertificate } from '#common/grpc/server.ts';

import { issueCertificate } from '../ca/issue.ts';
import type { CertificateRoot } from '../ca/root.ts';

const LIFE_MS = 24 * 3_600_000;

/** The names that clients know this service by. */
export function serverNames(
  namespace: string,
  revision: string,
  customHosts: readonly string[],
): readonly string[] {
  const services = ['istiod', 'istiod-remote', 'istio-pilot'];
  if (revision !== 'default') services.push(`istiod-${revision}`);
  return [...services.map((name) => `${name}.${namespace}.svc`), ...customHosts];
}

/** Makes this service's own certificate, and a new one halfway through its life. */
export class ServerCertificates implements Disposable {
  readonly #options: {
    readonly root: CertificateRoot;
    readonly names: readonly string[];
    readonly clock: Clock;
  };
  #timer: Disposable | undefined;

  constructor(options: {
    readonly root: CertificateRoot;
    readonly names: readonly string[];
    readonly clock: Clock;
  }) {
    this.#options = options;
  }

  issue(): ServerCertificate {
    const { root, names, clock } = this.#options;
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const nowMs = clock.now();
    const leafPem = issueCertificate(root, {
      names: { dns: names },
      publicKey,
      lifeMs: LIFE_MS,
      nowMs,
    });
    return {
      chainPem: `${leafPem}${root.certificatePem}`,
      privateKeyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }),
    };
  }

  /** Gives each new certificate, from the next on. */
  renew(replace: (certificate: ServerCertificate) => void): void {
    this.#timer = this.#options.clock.setTimer(LIFE_MS / 2, () => {
      replace(this.issue());
      this.renew(replace);
    });
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
  }
}
