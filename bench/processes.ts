import { readdirSync, readFileSync } from 'node:fs';

/** What /proc/PID/stat says of one process. */
export interface ProcessStat {
  readonly pid: number;
  readonly parentPid: number;
  /** User and system time so far, in seconds. */
  readonly cpuSeconds: number;
}

// The unit of the times in /proc/PID/stat: USER_HZ, 100 on every architecture that Node runs on.
const TICKS_PER_SECOND = 100;

/** Reads one /proc/PID/stat (proc(5)); undefined when it is not one. */
export function parseStat(text: string): ProcessStat | undefined {
  // The name in parentheses may itself hold spaces and parentheses: count from its last one.
  const end = text.lastIndexOf(')');
  const fields = text.slice(end + 2).split(' ');
  const numbers = [text.slice(0, text.indexOf(' ')), fields[1], fields[11], fields[12]].map(Number);
  const [pid, parentPid, userTicks, systemTicks] = numbers;
  if (end < 0 || pid === undefined || parentPid === undefined) return undefined;
  if (userTicks === undefined || systemTicks === undefined || numbers.some(Number.isNaN)) {
    return undefined;
  }
  return { pid, parentPid, cpuSeconds: (userTicks + systemTicks) / TICKS_PER_SECOND };
}

/** The proportional set size in bytes from the text of /proc/PID/smaps_rollup; undefined when it is not there. */
export function parsePss(text: string): number | undefined {
  const kilobytes = /^Pss:\s+(\d+) kB$/m.exec(text)?.[1];
  return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
}

/** The processes of `all` that are one of `roots` or descend from one. */
export function treesOf(roots: readonly number[], all: readonly ProcessStat[]): ProcessStat[] {
  const byPid = new Map(all.map((stat) => [stat.pid, stat]));
  const isInside = (stat: ProcessStat | undefined, depth = 0): boolean => {
    if (stat === undefined || depth > all.length) return false;
    return roots.includes(stat.pid) || isInside(byPid.get(stat.parentPid), depth + 1);
  };
  return all.filter((stat) => isInside(stat));
}

/** User and system time that these processes and all that they started have used, in seconds. */
export function cpuSecondsOf(roots: readonly number[]): number {
  return treesOf(roots, readAll()).reduce((sum, stat) => sum + stat.cpuSeconds, 0);
}

/**
 * Memory of these processes and all that they started, in bytes: proportional set size, in which a
 * page that n processes share counts 1/n for each, so that a sum is what they take together.
 */
export function pssBytesOf(roots: readonly number[]): number {
  const sizes = treesOf(roots, readAll()).map((stat) => readProc(`${stat.pid}/smaps_rollup`));
  return sizes.reduce((sum, text) => sum + (parsePss(text ?? '') ?? 0), 0);
}

function readAll(): ProcessStat[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids
    .map((pid) => parseStat(readProc(`${pid}/stat`) ?? ''))
    .filter((stat) => stat !== undefined);
}

/** Undefined when the process has ended in between: a tree is read while it changes. */
function readProc(path: string): string | undefined {
  try {
    return readFileSync(`/proc/${path}`, 'utf8');
  } catch {
    return undefined;
  }
}
