import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import type { Container } from '#kube/resources.ts';

import { type ContainerLaunch, type ContainerMount, DEFAULT_PATH } from './container-script.ts';
import { containerEnvironment, expandVariables, serviceVariables } from './environment.ts';
import { resolveInRoot } from './host-path.ts';
import { containerCommand, type ImageProgram } from './images.ts';
import { CONTAINERS_DIRECTORY, MACHINE_ROOT, NODE_PROGRAM, PROJECT } from './node-root.ts';
import type { PodContext } from './pod-context.ts';
import { qosClass } from './pod-status.ts';
import { containerSecurity } from './security.ts';

export type LaunchResult =
  | {
      readonly kind: 'ok';
      readonly launch: ContainerLaunch;
      /** The file on the node in which the program may leave its last words. */
      readonly terminationMessage: string;
    }
  /** For the container's `CreateContainerConfigError`. */
  | { readonly kind: 'refused'; readonly problem: string };

/** Top-level directories in which a container sees nothing of the machine. */
const FRESH: ReadonlySet<string> = new Set(['proc', 'sys', 'dev', 'run', 'tmp', 'ambit', '.node']);

/** Decides all about a container before it starts, and writes the files that it gets. */
export function prepareLaunch(
  context: PodContext,
  container: Container,
  program: ImageProgram,
  id: string,
): LaunchResult {
  const { node } = context;
  const pod = context.pod();
  const { spec } = pod;
  const hostname = hostnameOf(context);
  const namespace = pod.metadata.namespace ?? 'default';
  const base = new Map([
    ['PATH', DEFAULT_PATH],
    ['HOSTNAME', hostname],
    ...Object.entries(program.environment),
    ...serviceVariables(node.access.services(), namespace, spec.enableServiceLinks !== false),
  ]);
  const source = { pod, container, place: context.place(), objects: context.objects, base };
  const resolved = containerEnvironment(source);
  if (resolved.kind === 'refused') return resolved;
  const { environment } = resolved;
  if (!environment.has('HOME')) environment.set('HOME', '/root');
  if (container.tty === true && !environment.has('TERM')) environment.set('TERM', 'xterm');
  const volumes = context.volumes.mounts(container.volumeMounts ?? []);
  if (typeof volumes === 'string') return { kind: 'refused', problem: volumes };
  const terminationMessage = join(context.directory, 'containers', container.name, id.slice(0, 8));
  const own = ownFiles(context, container, hostname, terminationMessage);
  const targets = new Set(volumes.map(({ target }) => target));
  const mounts = [...own.filter(({ target }) => !targets.has(target)), ...volumes].map((mount) => ({
    ...mount,
    target: resolveInRoot(MACHINE_ROOT, mount.target, FRESH),
  }));
  const expand = (text: string): string => expandVariables(text, environment);
  const security = containerSecurity(pod, container);
  const launch: ContainerLaunch = {
    filesystem: {
      lower: MACHINE_ROOT,
      entries: node.entries,
      scratch: join(CONTAINERS_DIRECTORY, id.slice(0, 16)),
      ...mountPoints(mounts),
      userNamespace: node.userNamespace,
    },
    mounts,
    hostname: spec.hostNetwork === true ? undefined : hostname,
    cgroup: cgroupFile(context, id),
    environment,
    workingDirectory: container.workingDir ?? '/',
    command: containerCommand(
      program,
      (container.command ?? []).map(expand),
      (container.args ?? []).map(expand),
      (name) => isOnMachine(name),
    ),
    identity: node.hasOtherIds ? security.identity : undefined,
    readOnlyRoot: security.readOnlyRoot,
    privileged: security.privileged,
    hostProcesses: spec.hostPID === true,
    terminal: container.tty === true,
  };
  return { kind: 'ok', launch, terminationMessage };
}

function hostnameOf(context: PodContext): string {
  const { node } = context;
  const { spec, metadata } = context.pod();
  return spec.hostNetwork === true ? node.name : (spec.hostname ?? metadata.name).slice(0, 63);
}

/** Files that the kubelet gives to every container, and the program's own. */
function ownFiles(
  context: PodContext,
  container: Container,
  hostname: string,
  terminationMessage: string,
): readonly ContainerMount[] {
  const directory = join(context.directory, 'etc');
  mkdirSync(directory, { recursive: true });
  mkdirSync(join(terminationMessage, '..'), { recursive: true });
  writeFileSync(terminationMessage, '', { mode: 0o666 });
  const files = new Map([
    ['/etc/hosts', hostsFile(context, hostname)],
    ['/etc/hostname', `${hostname}\n`],
    ['/etc/resolv.conf', resolverFile(context)],
    // Names are looked up in these files and by DNS, whatever else the machine asks.
    ['/etc/nsswitch.conf', 'passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n'],
  ]);
  const mounts = Array.from(files, ([target, text]) => {
    const path = join(directory, target.slice('/etc/'.length));
    writeFileSync(path, text);
    return plainMount(path, target, 'file');
  });
  const lastWords = container.terminationMessagePath ?? '/dev/termination-log';
  return [
    ...mounts,
    plainMount(terminationMessage, lastWords, 'file'),
    { ...plainMount(PROJECT, PROJECT, 'directory'), readOnly: true },
    { ...plainMount(NODE_PROGRAM, NODE_PROGRAM, 'file'), readOnly: true },
  ];
}

function plainMount(source: string, target: string, kind: ContainerMount['kind']): ContainerMount {
  return { source, target, kind, readOnly: false, propagation: 'None' };
}

function hostsFile(context: PodContext, hostname: string): string {
  const { spec } = context.pod();
  const aliases = (spec['hostAliases'] ?? []) as readonly {
    readonly ip: string;
    readonly hostnames?: readonly string[];
  }[];
  const subdomain =
    spec.subdomain === undefined
      ? ''
      : `${hostname}.${spec.subdomain}.${context.pod().metadata.namespace}.svc.${context.node.clusterDomain}\t`;
  return [
    '# Kubernetes-managed hosts file.',
    '127.0.0.1\tlocalhost',
    '::1\tlocalhost ip6-localhost ip6-loopback',
    `${context.place().podIp}\t${subdomain}${hostname}`,
    ...aliases.map(({ ip, hostnames = [] }) => `${ip}\t${hostnames.join('\t')}`),
    '',
  ].join('\n');
}

function resolverFile(context: PodContext): string {
  const { node } = context;
  const { spec, metadata } = context.pod();
  const policy = spec.dnsPolicy ?? 'ClusterFirst';
  const own = (spec['dnsConfig'] ?? {}) as {
    readonly nameservers?: readonly string[];
    readonly searches?: readonly string[];
    readonly options?: readonly { readonly name: string; readonly value?: string }[];
  };
  // There is no name server but the cluster's: a policy that asks for the machine's gets it too.
  const servers = policy === 'None' ? [] : [node.clusterDns];
  const { clusterDomain } = node;
  const searches =
    policy === 'None'
      ? []
      : [`${metadata.namespace}.svc.${clusterDomain}`, `svc.${clusterDomain}`, clusterDomain];
  const options = (own.options ?? []).map(({ name, value }) =>
    value === undefined ? name : `${name}:${value}`,
  );
  return [
    `search ${[...searches, ...(own.searches ?? [])].join(' ')}`,
    ...[...servers, ...(own.nameservers ?? [])].map((server) => `nameserver ${server}`),
    `options ${[...(policy === 'None' ? [] : ['ndots:5']), ...options].join(' ')}`,
    '',
  ].join('\n');
}

/** Mount points below other mounts are made when those are there. */
function mountPoints(mounts: readonly ContainerMount[]): {
  readonly directories: readonly string[];
  readonly files: readonly string[];
} {
  const first = mounts.filter(
    ({ target }) =>
      !/^\/(?:dev|proc|sys)(?:\/|$)/.test(target) &&
      !mounts.some((other) => target.startsWith(`${other.target}/`)),
  );
  const targets = (kind: ContainerMount['kind']): string[] =>
    first.filter((mount) => mount.kind === kind).map(({ target }) => target);
  return { directories: targets('directory'), files: targets('file') };
}

/** The file that takes a process into the container's own control group, by whose name agents know the pod. */
function cgroupFile(context: PodContext, id: string): string | undefined {
  const directory = cgroupDirectory(context, id);
  if (directory === undefined) return undefined;
  mkdirSync(directory, { recursive: true });
  return join(directory, 'cgroup.procs');
}

/** As the kubelet names them with the driver `cgroupfs`. */
export function cgroupDirectory(context: PodContext, id: string): string | undefined {
  const { cgroups } = context.node;
  if (cgroups === undefined) return undefined;
  const pod = context.pod();
  const quality = qosClass(pod).toLowerCase();
  const parents = quality === 'guaranteed' ? ['kubepods'] : ['kubepods', quality];
  return join(cgroups, ...parents, `pod${pod.metadata.uid ?? ''}`, id);
}

function isOnMachine(program: string): boolean {
  if (program.startsWith('/ambit/')) return true;
  if (program.includes('/')) return existsSync(inMachine(program));
  return DEFAULT_PATH.split(':').some((directory) =>
    existsSync(inMachine(join(directory, program))),
  );
}

function inMachine(path: string): string {
  return `${MACHINE_ROOT}${resolveInRoot(MACHINE_ROOT, path, FRESH)}`;
}
