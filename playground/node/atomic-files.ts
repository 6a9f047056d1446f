import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';

import type { VolumeFile } from './volume-files.ts';

/** The name through which all files of a volume are reached. */
const DATA = '..data';

/**
 * Makes a volume's directory hold exactly these files, all changed at one moment: each is a symbolic link through `..data`,
 * which is a link to a directory that is replaced as a whole. Programs that watch for Kubernetes volumes
 * expect it so. Answers whether anything has changed.
 */
export function writeFilesAtomically(directory: string, files: readonly VolumeFile[]): boolean {
  mkdirSync(directory, { recursive: true });
  const data = join(directory, DATA);
  const old = linkTarget(data);
  if (old !== undefined && isUnchanged(data, files)) return false;
  const fresh = mkdtempSync(join(directory, '..data_'));
  chmodSync(fresh, 0o755);
  for (const { path, content, mode } of files) {
    mkdirSync(dirname(join(fresh, path)), { recursive: true });
    writeFileSync(join(fresh, path), content);
    chmodSync(join(fresh, path), mode);
  }
  const link = join(directory, '..data_tmp');
  rmSync(link, { force: true });
  symlinkSync(fresh.slice(directory.length + 1), link);
  renameSync(link, data);
  for (const top of new Set(files.map(({ path }) => path.split('/')[0] ?? ''))) {
    const visible = join(directory, top);
    if (linkTarget(visible) === undefined) symlinkSync(join(DATA, top), visible);
  }
  if (old !== undefined) rmSync(join(directory, old), { recursive: true, force: true });
  return true;
}

function isUnchanged(data: string, files: readonly VolumeFile[]): boolean {
  return files.every(({ path, content }) => {
    const existing = join(data, path);
    return existsSync(existing) && readFileSync(existing).equals(content);
  });
}

function linkTarget(path: string): string | undefined {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true
    ? readlinkSync(path)
    : undefined;
}
