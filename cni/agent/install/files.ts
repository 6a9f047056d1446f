import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';

const TEMPORARY = '.ambit-tmp.';

/** Writes a file in one step for whoever reads it, unless it is so already. Answers whether it was written. */
export function writeIfChanged(path: string, text: string, mode: number): boolean {
  if (textIn(path) === text && (statSync(path).mode & 0o777) === mode) return false;
  mkdirSync(dirname(path), { recursive: true });
  const temporary = temporaryFor(path);
  writeFileSync(temporary, text, { mode });
  chmodSync(temporary, mode);
  renameSync(temporary, path);
  return true;
}

/** Copies a large file in one step; one of the same size that is there already is taken for the same. */
export function copyIfChanged(from: string, to: string, mode: number): boolean {
  if (existsSync(to) && statSync(to).size === statSync(from).size) return false;
  mkdirSync(dirname(to), { recursive: true });
  const temporary = temporaryFor(to);
  copyFileSync(from, temporary);
  chmodSync(temporary, mode);
  renameSync(temporary, to);
  return true;
}

/** Removes what an installation left that was killed at work. */
export function removeTemporaries(directory: string): void {
  if (!existsSync(directory)) return;
  for (const name of readdirSync(directory)) {
    if (name.startsWith(TEMPORARY)) rmSync(join(directory, name), { force: true });
  }
}

/** Undefined when there is no such file, or none that can be read. */
export function textIn(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** Beside its target: a rename works within one file system only. Hidden: nobody takes it for a configuration. */
function temporaryFor(path: string): string {
  return join(dirname(path), `${TEMPORARY}${process.pid}.${basename(path)}`);
}
