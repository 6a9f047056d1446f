import { existsSync, lstatSync, mkdirSync, readlinkSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/**
 * Checks a hostPath volume and makes what its type says is to be made. Answers the problem as the kubelet words it;
 * undefined when all is well.
 */
export function prepareHostPath(path: string, type: string): string | undefined {
  const failed = (what: string): string => `hostPath type check failed: ${path} is not ${what}`;
  const stat = statSync(path, { throwIfNoEntry: false });
  switch (type) {
    case '':
      // Taken as it is; container runtimes make a directory of what is missing.
      if (stat === undefined) mkdirSync(path, { recursive: true });
      return undefined;
    case 'DirectoryOrCreate':
      if (stat === undefined) mkdirSync(path, { recursive: true });
      else if (!stat.isDirectory()) return failed('a directory');
      return undefined;
    case 'Directory':
      return stat?.isDirectory() === true ? undefined : failed('a directory');
    case 'FileOrCreate':
      if (stat === undefined) {
        mkdirSync(dirname(path), { recursive: true });
        writeFileSync(path, '', { mode: 0o644 });
      } else if (!stat.isFile()) return failed('a file');
      return undefined;
    case 'File':
      return stat?.isFile() === true ? undefined : failed('a file');
    case 'Socket':
      return stat?.isSocket() === true ? undefined : failed('a socket file');
    case 'CharDevice':
      return stat?.isCharacterDevice() === true ? undefined : failed('a character device');
    case 'BlockDevice':
      return stat?.isBlockDevice() === true ? undefined : failed('a block device');
    default:
      return `unknown hostPath type ${JSON.stringify(type)}`;
  }
}

/** More links than this in one path are a loop, says the kernel too. */
const LINKS_MAX = 40;

/**
 * Where a path leads in a file system whose root is the directory `root`, with all symbolic links followed; what does
 * not exist is taken as it stands. Below the `fresh` top-level directories nothing of that root is seen.
 */
export function resolveInRoot(root: string, path: string, fresh: ReadonlySet<string>): string {
  let rest = path.split('/').filter((part) => part !== '' && part !== '.');
  let resolved: string[] = [];
  for (let links = 0; rest.length > 0; ) {
    const [part = '', ...after] = rest;
    rest = after;
    if (part === '..') {
      resolved.pop();
      continue;
    }
    const next = [...resolved, part];
    const link = fresh.has(next[0] ?? '') ? undefined : linkAt(join(root, ...next));
    if (link === undefined || ++links > LINKS_MAX) {
      resolved = next;
      continue;
    }
    if (link.startsWith('/')) resolved = [];
    rest = [...link.split('/').filter((each) => each !== '' && each !== '.'), ...rest];
  }
  return `/${resolved.join('/')}`;
}

function linkAt(path: string): string | undefined {
  return existsSync(dirname(path)) &&
    lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true
    ? readlinkSync(path)
    : undefined;
}
