import { type EnablementSelector, isEligible } from '#cni/plugin/eligibility.ts';
import { type IpAddress, parseIp } from '#common/net/address.ts';
import type { Pod, StringMap } from '#kube/resources.ts';

/** Says how far a pod's enrolment has come; the agent alone writes it. */
export const REDIRECTION_ANNOTATION = 'ambient.istio.io/redirection';

/** On the mirrors of static pods: the uid that the kubelet gave the pod. */
const MIRROR_ANNOTATION = 'kubernetes.io/config.mirror';

/** `pending`: belongs to the mesh, and the node tunnel does not serve it yet. */
export type Redirection = 'enabled' | 'pending';

export interface MembershipSettings {
  readonly excludedNamespaces: ReadonlySet<string>;
  readonly selectors: readonly EnablementSelector[];
  /** Where the node tunnels themselves are. */
  readonly systemNamespace: string;
}

export type Membership =
  | 'member'
  | 'outside'
  /** Will never run again. */
  | 'ended'
  /** Its namespace is not known (yet): nothing can be said. */
  | 'unknown';

/** Whether a pod belongs to the mesh. */
export function membershipOf(
  pod: Pod,
  namespaceLabels: StringMap | undefined,
  settings: MembershipSettings,
): Membership {
  if (pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed') return 'ended';
  if (namespaceLabels === undefined) return 'unknown';
  const { namespace = '' } = pod.metadata;
  if (settings.excludedNamespaces.has(namespace)) return 'outside';
  const isTunnel = pod.metadata.labels?.['app'] === 'ztunnel';
  if (isTunnel && namespace === settings.systemNamespace) return 'outside';
  return isEligible(pod, namespaceLabels, settings.selectors) ? 'member' : 'outside';
}

/** How far a pod is, as the agent knows it. */
export type Standing =
  | 'unknown'
  /** Its annotation says that it is enrolled; this agent has not made sure of it. */
  | 'claimed'
  | 'enrolled'
  /** Left the mesh; its last connections may end by themselves. */
  | 'draining';

export type Step =
  | 'enrol'
  /** See that what is known of an enrolled pod is still true. */
  | 'refresh'
  /** The pod lives on outside the mesh. */
  | 'release'
  /** Nothing is left of the pod. */
  | 'forget'
  | 'nothing';

/** What is to be done about a pod. `pod` is undefined when it has been deleted. */
export function nextStep(pod: Pod | undefined, membership: Membership, standing: Standing): Step {
  if (pod === undefined) return standing === 'unknown' ? 'nothing' : 'forget';
  const isAnnotated = pod.metadata.annotations?.[REDIRECTION_ANNOTATION] !== undefined;
  switch (membership) {
    case 'unknown':
      return 'nothing';
    case 'ended':
      return standing === 'unknown' && !isAnnotated ? 'nothing' : 'forget';
    case 'outside':
      if (standing === 'draining' && !isAnnotated) return 'nothing';
      return standing === 'unknown' && !isAnnotated ? 'nothing' : 'release';
    case 'member':
      if (standing === 'enrolled') return 'refresh';
      // Without an address it is not there yet: its start brings it, or a later change of its status.
      return podAddresses(pod).length === 0 ? 'nothing' : 'enrol';
  }
}

/**
 * Whether a runtime means this pod by a uid. A static pod's is of the kubelet's own making; what the API server has is its
 * mirror, which has another one and names it.
 */
export function hasUid({ metadata: { uid, annotations } }: Pod, said: string): boolean {
  return uid === said || annotations?.[MIRROR_ANNOTATION] === said;
}

/** The pod's addresses as its status has them; what is none is left out. */
export function podAddresses(pod: Pod): readonly IpAddress[] {
  const { podIPs, podIP } = pod.status ?? {};
  const listed = (podIPs ?? []).flatMap(({ ip }) => parseIp(ip ?? '') ?? []);
  return listed.length > 0 ? listed : [parseIp(podIP ?? '') ?? []].flat();
}
