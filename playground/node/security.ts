import type { Container, Pod } from '#kube/resources.ts';

import type { ContainerIdentity } from './container-script.ts';

/** What container runtimes leave a container that asks for nothing. */
const DEFAULT_CAPABILITIES = [
  'chown',
  'dac_override',
  'fsetid',
  'fowner',
  'mknod',
  'net_raw',
  'setgid',
  'setuid',
  'setfcap',
  'setpcap',
  'net_bind_service',
  'sys_chroot',
  'kill',
  'audit_write',
];

interface SecurityContext {
  readonly runAsUser?: number;
  readonly runAsGroup?: number;
  readonly fsGroup?: number;
  readonly supplementalGroups?: readonly number[];
  readonly privileged?: boolean;
  readonly readOnlyRootFilesystem?: boolean;
  readonly allowPrivilegeEscalation?: boolean;
  readonly capabilities?: { readonly add?: readonly string[]; readonly drop?: readonly string[] };
}

/** As whom a container runs, and with what. What the container says goes before what its pod says. */
export interface ContainerSecurity {
  readonly identity: ContainerIdentity;
  readonly privileged: boolean;
  readonly readOnlyRoot: boolean;
}

export function containerSecurity(pod: Pod, container: Container): ContainerSecurity {
  const ofPod = (pod.spec.securityContext ?? {}) as SecurityContext;
  const own = (container.securityContext ?? {}) as SecurityContext;
  const groups = [...(ofPod.supplementalGroups ?? [])];
  if (ofPod.fsGroup !== undefined) groups.push(ofPod.fsGroup);
  const privileged = own.privileged === true;
  return {
    identity: {
      uid: own.runAsUser ?? ofPod.runAsUser ?? 0,
      gid: own.runAsGroup ?? ofPod.runAsGroup ?? 0,
      groups,
      capabilities: privileged ? 'all' : capabilities(own),
      noNewPrivileges: own.allowPrivilegeEscalation === false,
    },
    privileged,
    readOnlyRoot: own.readOnlyRootFilesystem === true,
  };
}

function capabilities({ capabilities: wanted }: SecurityContext): readonly string[] | 'all' {
  const add = (wanted?.add ?? []).map((name) => plain(name));
  const drop = (wanted?.drop ?? []).map((name) => plain(name));
  if (add.includes('all')) return 'all';
  const kept = drop.includes('all')
    ? []
    : DEFAULT_CAPABILITIES.filter((name) => !drop.includes(name));
  return [...new Set([...kept, ...add])];
}

function plain(name: string): string {
  return name.toLowerCase().replace(/^cap_/, '');
}
