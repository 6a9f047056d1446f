import type { Logger } from '#common/log/logger.ts';
import { KubeClient } from '#kube/client.ts';
import { startControllers } from '#playground/controllers/start.ts';

import { issueCertificate } from './certificates.ts';
import type { ClusterCredentials } from './credentials.ts';

const IDENTITY = {
  commonName: 'system:kube-controller-manager',
  organizations: ['system:masters'],
};

/** Runs the cluster's controllers in this process: clients of its server like others, at `serverUrl`. */
export function runControllers(
  credentials: ClusterCredentials,
  serverUrl: string,
  log: Logger,
): { stop(): void } {
  const { authority } = credentials;
  const identity = issueCertificate(authority, IDENTITY, Date.now());
  const client = new KubeClient({
    server: serverUrl,
    caPem: authority.certificatePem,
    clientCertificatePem: identity.certificatePem,
    clientKeyPem: identity.privateKeyPem,
  });
  const controllers = startControllers({ client, caPem: authority.certificatePem, log });
  return {
    stop: () => {
      controllers.stop();
      client.close();
    },
  };
}
