import type { KubeCredentials } from '#kube/transport.ts';

/**
 * The file by which the plugin asks the API server when the agent is away; JSON, which is YAML as well. Throws when the
 * agent itself has no token to give.
 */
export function pluginKubeconfig({ server, caPem, token }: KubeCredentials): string {
  if (token === undefined) {
    throw new Error(
      'Cannot write the kubeconfig of the CNI plugin: the agent has no token of a service account',
    );
  }
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: 'local',
        cluster: { server, 'certificate-authority-data': Buffer.from(caPem).toString('base64') },
      },
    ],
    users: [{ name: 'istio-cni', user: { token: token() } }],
    contexts: [{ name: 'istio-cni-context', context: { cluster: 'local', user: 'istio-cni' } }],
    'current-context': 'istio-cni-context',
  };
  return `${JSON.stringify(config, undefined, 2)}\n`;
}
