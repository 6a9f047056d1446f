import { readdirSync, readFileSync, statSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';

import { parseIp } from '#common/net/address.ts';
import { close } from '#linux/libc.ts';
import { inNetns, isNetns, netnsId, openNetns } from '#linux/netns.ts';

import { readCgroup, readStartTime } from './pod-process.ts';

/** A pod's network namespace; `fd` belongs to whoever got it. */
export interface PodNetns {
  readonly fd: number;
  /** See `netnsId`. */
  readonly id: string;
}

export type OpenedNetns =
  | { readonly kind: 'found'; readonly netns: PodNetns }
  | { readonly kind: 'refused'; readonly reason: string };

/** Where the node's files are seen. */
export interface NodeFiles {
  /** `/host/proc` */
  readonly proc: string;
  /** Where container runtimes give network namespaces names: `/host/var/run/netns`. */
  readonly netnsDirectory: string;
}

/** Processes that are looked at before others get a turn. */
const PROCESSES_PER_TURN = 200;

interface Candidate {
  readonly path: string;
  readonly startedTicks: number;
}

/**
 * Finds the network namespaces of running pods, by uid; pods for which there is none are left out. A namespace counts
 * when a process of the pod is in it *and* it has an address of the pod: a process may be on a visit in another
 * pod's. Where no process tells its pod, a namespace with a name does when it has an address of just one of the pods. A pod
 * whose addresses are not known is not looked for: nothing would tell its namespace from one that is visited.
 */
export async function findNetns(
  wanted: ReadonlyMap<string, readonly string[]>,
  files: NodeFiles,
): Promise<Map<string, PodNetns>> {
  const found = new Map<string, PodNetns>();
  const host = idOf(join(files.proc, '1/ns/net'));
  const candidates = await candidatesByPod(wanted, files.proc, host);
  for (const [uid, paths] of candidates) {
    const addresses = wanted.get(uid) ?? [];
    if (addresses.length === 0) continue;
    // The oldest process: what came later may have been moved.
    for (const { path } of paths.toSorted((a, b) => a.startedTicks - b.startedTicks)) {
      const opened = openPodNetns(path, addresses, host);
      if (opened.kind === 'refused') continue;
      found.set(uid, opened.netns);
      break;
    }
  }
  const missing = new Map([...wanted].filter(([uid]) => !found.has(uid)));
  if (missing.size > 0) findNamed(missing, files.netnsDirectory, host, found);
  return found;
}

/**
 * Opens a namespace and sees that it is the pod's: a network namespace, not the node's, and with one of the addresses
 * (when there are any to compare). `hostId` is the id of the node's own.
 */
export function openPodNetns(
  path: string,
  addresses: readonly string[],
  hostId: string | undefined,
): OpenedNetns {
  let fd: number;
  try {
    fd = openNetns(path);
  } catch (error) {
    return { kind: 'refused', reason: error instanceof Error ? error.message : String(error) };
  }
  const reason = whyNot(fd, addresses, hostId);
  if (reason === undefined) return { kind: 'found', netns: { fd, id: netnsId(fd) } };
  close(fd);
  return { kind: 'refused', reason: `"${path}" ${reason}` };
}

/** The id of the namespace at a path; undefined when it can't be told. */
export function idOf(path: string): string | undefined {
  try {
    const { dev, ino } = statSync(path, { bigint: true });
    return `${dev}:${ino}`;
  } catch {
    return undefined; // a process that has ended, or one that hides
  }
}

function whyNot(
  fd: number,
  addresses: readonly string[],
  hostId: string | undefined,
): string | undefined {
  if (!isNetns(fd)) return 'is no network namespace';
  if (netnsId(fd) === hostId) return "is the node's own network namespace";
  if (addresses.length === 0) return undefined;
  const there = addressesIn(fd);
  if (addresses.some((ip) => there.has(canonical(ip)))) return undefined;
  return `has none of the pod's addresses (${addresses.join(', ')})`;
}

async function candidatesByPod(
  wanted: ReadonlyMap<string, readonly string[]>,
  proc: string,
  host: string | undefined,
): Promise<Map<string, Candidate[]>> {
  const byPod = new Map<string, Map<string, Candidate>>();
  const pids = listed(proc).filter((name) => /^\d+$/.test(name));
  for (const [index, pid] of pids.entries()) {
    if (index % PROCESSES_PER_TURN === PROCESSES_PER_TURN - 1) await turn();
    const path = join(proc, pid, 'ns/net');
    const id = idOf(path);
    if (id === undefined || id === host) continue;
    const cgroup = readCgroup(textOf(join(proc, pid, 'cgroup')));
    if (cgroup.kind !== 'pod' || !wanted.has(cgroup.uid)) continue;
    const startedTicks = readStartTime(textOf(join(proc, pid, 'stat')));
    if (startedTicks === undefined) continue;
    const ofPod = byPod.get(cgroup.uid) ?? new Map<string, Candidate>();
    byPod.set(cgroup.uid, ofPod);
    const known = ofPod.get(id);
    if (known === undefined || startedTicks < known.startedTicks)
      ofPod.set(id, { path, startedTicks });
  }
  return new Map(Array.from(byPod, ([uid, candidates]) => [uid, [...candidates.values()]]));
}

function findNamed(
  wanted: ReadonlyMap<string, readonly string[]>,
  directory: string,
  host: string | undefined,
  found: Map<string, PodNetns>,
): void {
  const seen = new Set<string>();
  const ambiguous = new Set<string>();
  for (const name of listed(directory)) {
    const opened = openPodNetns(join(directory, name), [], host);
    if (opened.kind === 'refused') continue;
    const { netns } = opened;
    const there = addressesIn(netns.fd);
    const pods = [...wanted].filter(([, ips]) => ips.some((ip) => there.has(canonical(ip))));
    const [uid] = pods[0] ?? [];
    if (uid === undefined || pods.length > 1 || seen.has(netns.id)) {
      close(netns.fd);
      continue;
    }
    seen.add(netns.id);
    const other = found.get(uid);
    if (other === undefined && !ambiguous.has(uid)) {
      found.set(uid, netns);
      continue;
    }
    // Two namespaces with the pod's address: neither can be told to be the pod's.
    ambiguous.add(uid);
    found.delete(uid);
    close(netns.fd);
    if (other !== undefined) close(other.fd);
  }
}

function addressesIn(fd: number): ReadonlySet<string> {
  const interfaces = inNetns(fd, () => Object.values(networkInterfaces()));
  const addresses = interfaces.flatMap((all = []) => all.filter(({ internal }) => !internal));
  return new Set(addresses.map(({ address }) => canonical(address)));
}

/** One spelling per address; IPv4 in IPv6 is IPv4. */
function canonical(address: string): string {
  const [plain = ''] = address.split('%');
  return parseIp(plain) ?? plain;
}

function listed(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch {
    return []; // not mounted here: then nothing is found in it
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // the process has ended meanwhile
  }
}
