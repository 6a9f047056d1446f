import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Where `ip netns add` keeps its names. */
export const NETNS_DIRECTORY = '/run/netns';

/**
 * Names of the bed are `<prefix>-<pid of the owner>-<what>`. So two runs never meet, and what a
 * crashed run left behind is known by its dead owner.
 */
export function ownName(prefix: string, what: string): string {
  return `${prefix}-${process.pid}-${what}`;
}

/** Ends and removes what runs with this prefix have left behind; returns the names. */
export function removeStale(prefix: string): string[] {
  const stale = namespaceNames().filter((name) => isStale(name, prefix));
  removeNamespaces(stale);
  for (const entry of readdirSync(tmpdir())) {
    if (isStale(entry, prefix)) rmSync(join(tmpdir(), entry), { recursive: true, force: true });
  }
  return stale;
}

/** Kills every process in the namespaces, then removes them. Synchronous: it also runs while the process exits. */
export function removeNamespaces(names: readonly string[]): void {
  for (const name of names) {
    for (const pid of pidsIn(name)) killIfAlive(pid);
    spawnSync('ip', ['netns', 'delete', name]);
  }
}

function namespaceNames(): string[] {
  try {
    return readdirSync(NETNS_DIRECTORY);
  } catch {
    return []; // nobody has created one yet
  }
}

function isStale(name: string, prefix: string): boolean {
  if (!name.startsWith(`${prefix}-`)) return false;
  const owner = /^(\d+)-/.exec(name.slice(prefix.length + 1))?.[1];
  return owner !== undefined && Number(owner) !== process.pid && !isAlive(Number(owner));
}

function isAlive(pid: number): boolean {
  try {
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');
  } catch {
    return false;
  }
}

function pidsIn(name: string): number[] {
  const listed = spawnSync('ip', ['netns', 'pids', name], { encoding: 'utf8' });
  return listed.stdout.split(/\s+/).filter(Boolean).map(Number);
}

function killIfAlive(pid: number): void {
  if (pid === process.pid) return;
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
