import { randomUUID } from 'node:crypto';
import {
  accessSync,
  constants,
  existsSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, resolve } from 'node:path';

import { parse } from 'yaml';

/** Why `file` cannot be the kubeconfig of the cluster `name`; undefined when it can. */
export function kubeconfigProblem(file: string, name: string): string | undefined {
  const directory = dirname(resolve(file));
  if (!isWritable(directory)) return `${directory} is not a directory that can be written to`;
  if (!existsSync(file)) return undefined;
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    // A directory, or somebody else's.
    return error instanceof Error ? error.message : String(error);
  }
  if (text.trim() === '' || isOf(text, name)) return undefined;
  return 'it is there already, and holds something else than an earlier cluster of the same name';
}

/** Copies a kubeconfig, readable by its owner only. */
export function copyKubeconfig(from: string, to: string): void {
  const target = existsSync(to) ? realpathSync(to) : resolve(to);
  if (existsSync(target) && !statSync(target).isFile()) {
    writeFileSync(target, readFileSync(from));
    return;
  }
  // A new file in place of an older one, which others may own or have open.
  const temporary = `${target}.${randomUUID()}`;
  writeFileSync(temporary, readFileSync(from), { mode: MODE, flag: 'wx' });
  renameSync(temporary, target);
}

/** Removes a kubeconfig, unless it has become that of something else than the cluster `name`. */
export function removeKubeconfig(file: string, name: string): void {
  if (existsSync(file) && isOf(readFileSync(file, 'utf8'), name)) rmSync(file);
}

const MODE = 0o600;

function isOf(text: string, name: string): boolean {
  try {
    const config = parse(text) as { clusters?: readonly { name?: string }[] } | null;
    const clusters = config?.clusters ?? [];
    return clusters.length === 1 && clusters[0]?.name === name;
  } catch {
    return false;
  }
}

function isWritable(directory: string): boolean {
  try {
    accessSync(directory, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
