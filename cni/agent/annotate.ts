import type { KubeClient } from '#kube/client.ts';
import { KubeError } from '#kube/errors.ts';
import { PODS, type Pod } from '#kube/resources.ts';

import { REDIRECTION_ANNOTATION, type Redirection } from './membership.ts';

/**
 * Writes how far a pod's enrolment is into its annotations, or takes that away. By the status subresource: who may write
 * only that cannot change what the pod runs. A pod that has gone is no error; another one of the same name is left alone.
 */
export async function annotate(
  client: KubeClient,
  { metadata }: Pod,
  value: Redirection | undefined,
): Promise<void> {
  const patch = {
    metadata: {
      // A precondition: the server refuses to change it.
      uid: metadata.uid,
      annotations: { [REDIRECTION_ANNOTATION]: value ?? null },
    },
  };
  try {
    await client.patch(PODS, metadata.name, metadata.namespace, patch, {
      type: 'merge',
      subresource: 'status',
    });
  } catch (error) {
    const isGone = error instanceof KubeError && (error.code === 404 || isOther(error));
    if (!isGone) throw error;
  }
}

/** The pod of this name has another uid. */
function isOther(error: KubeError): boolean {
  return (error.code === 409 || error.code === 422) && /\buid\b/i.test(error.message);
}
