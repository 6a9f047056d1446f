import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';

import { type EligiblePod, isEligible, readSelectors } from './eligibility.ts';
import type { PodReference } from './protocol.ts';

/** The agent writes it as JSON, which is YAML as well. */
interface Kubeconfig {
  readonly clusters: readonly {
    readonly cluster: { readonly server: string; readonly 'certificate-authority-data': string };
  }[];
  readonly users: readonly { readonly user: { readonly token: string } }[];
}

const KUBECONFIG = 'istio-cni-kubeconfig';
/** One read may take this long; the runtime gives a plugin far more. */
const READ_TIMEOUT_MS = 2_000;
const ANSWER_BYTES_MAX = 8 << 20;
/** It is bound to the pod of the agent. */
const TOKEN_REFUSED = `the token in ${KUBECONFIG} ended with the agent's pod; the next agent brings another`;

/**
 * Whether the API server says that a pod belongs to the mesh: asked only when the agent does not answer, so that
 * other pods go on to start. Throws when it cannot be known.
 */
export async function belongsToMesh(
  runDirectory: string,
  pod: PodReference,
  enablementSelectors: unknown,
): Promise<boolean> {
  const path = join(runDirectory, KUBECONFIG);
  const { clusters, users } = JSON.parse(readFileSync(path, 'utf8')) as Kubeconfig;
  const cluster = clusters[0]?.cluster;
  const token = users[0]?.user.token;
  if (cluster === undefined || token === undefined) throw new Error(`${path} names no cluster`);
  const read = (resource: string): Promise<unknown> =>
    readJson(new URL(`/api/v1/namespaces/${resource}`, cluster.server), {
      ca: Buffer.from(cluster['certificate-authority-data'], 'base64'),
      token,
    });
  const [found, namespace] = (await Promise.all([
    read(`${pod.namespace}/pods/${pod.name}`),
    read(pod.namespace),
  ])) as [EligiblePod, EligiblePod];
  return isEligible(found, namespace.metadata.labels ?? {}, readSelectors(enablementSelectors));
}

function readJson(
  url: URL,
  { ca, token }: { readonly ca: Buffer; readonly token: string },
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const sent = request(
      url,
      {
        ca,
        headers: { Authorization: `Bearer ${token}`, Accept: 'application/json' },
        signal: AbortSignal.timeout(READ_TIMEOUT_MS),
      },
      (response) => {
        const chunks: Buffer[] = [];
        let size = 0;
        response.on('data', (chunk: Buffer) => {
          size += chunk.length;
          if (size > ANSWER_BYTES_MAX) response.destroy(new Error('the answer is too long'));
          else chunks.push(chunk);
        });
        response.on('error', reject);
        response.on('end', () => {
          if (response.statusCode !== 200) {
            const { statusCode } = response;
            const why = statusCode === 401 ? `: ${TOKEN_REFUSED}` : '';
            reject(new Error(`GET ${url.pathname}: status ${statusCode}${why}`));
            return;
          }
          try {
            resolve(JSON.parse(Buffer.concat(chunks).toString()));
          } catch (error) {
            reject(error);
          }
        });
      },
    );
    sent.on('error', (error) => reject(new Error(`GET ${url.href}: ${error.message}`)));
    sent.end();
  });
}
