import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readSync,
  realpathSync,
  statSync,
} from 'node:fs';

/** What a look at the mesh's file has found. */
export interface MeshLook {
  /** Other whenever the file is another one, or was written to. */
  readonly stamp: string;
  /** Other when another file stands at the path: its inode, or where the path's links lead. */
  readonly place: string;
  /** When it was last written to, in ms since 1970; 0 when there is nothing to read. */
  readonly writtenMs: number;
  readonly found:
    | { readonly kind: 'text'; readonly text: string }
    | { readonly kind: 'problem'; readonly problem: string };
}

/** A larger one is a mistake, and would stop everything while it is read. */
const FILE_BYTES_MAX = 64 * 1_048_576;
const CHUNK_BYTES = 1_048_576;
/** Whatever stands at the path by then, opening it must not wait for anybody. */
const OPEN_FLAGS = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;

/** Reads the file as it is at this moment, which may be half of what somebody is writing. */
export function lookAtMeshFile(path: string): MeshLook {
  let fd: number | undefined;
  try {
    // Opening a device may do something to it: it is looked at first.
    const problem = unreadable(path, statSync(path));
    if (problem !== undefined) return nothing(problem);
    fd = openSync(path, OPEN_FLAGS);
    const status = fstatSync(fd);
    const changed = unreadable(path, status);
    if (changed !== undefined) return nothing(changed);
    const text = readLimited(fd, status.size);
    if (text === undefined) return nothing(tooLarge(path));
    return {
      stamp: stampOf(status),
      place: `${realpathSync(path)} ${status.dev} ${status.ino}`,
      writtenMs: status.mtimeMs,
      found: { kind: 'text', text },
    };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return nothing(`cannot read the local configuration (LOCAL_XDS_PATH): ${why}`);
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** The stamp alone, without reading. */
export function stampOfMeshFile(path: string): string {
  try {
    const status = statSync(path);
    return unreadable(path, status) ?? stampOf(status);
  } catch {
    return '';
  }
}

/** Two looks that have found the same, with nothing written between them. */
export function isSameLook(one: MeshLook, other: MeshLook): boolean {
  return one.stamp === other.stamp && one.place === other.place && isSameFind(one, other);
}

export function isSameFind({ found: one }: MeshLook, { found: other }: MeshLook): boolean {
  if (one.kind === 'text') return other.kind === 'text' && one.text === other.text;
  return other.kind === 'problem' && one.problem === other.problem;
}

interface Status {
  readonly dev: number;
  readonly ino: number;
  readonly size: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
  isFile(): boolean;
  isDirectory(): boolean;
}

function stampOf({ dev, ino, size, mtimeMs, ctimeMs }: Status): string {
  return `${dev} ${ino} ${size} ${mtimeMs} ${ctimeMs}`;
}

function unreadable(path: string, status: Status): string | undefined {
  if (!status.isFile()) {
    const what = status.isDirectory() ? 'a directory' : 'a pipe, a socket or a device';
    return `${path} (LOCAL_XDS_PATH) is ${what}: want a file of YAML or JSON`;
  }
  return status.size > FILE_BYTES_MAX ? tooLarge(path) : undefined;
}

function tooLarge(path: string): string {
  return `${path} (LOCAL_XDS_PATH) is larger than ${FILE_BYTES_MAX} bytes`;
}

function nothing(problem: string): MeshLook {
  const stamp = problem.startsWith('cannot read') ? '' : problem;
  return { stamp, place: '', writtenMs: 0, found: { kind: 'problem', problem } };
}

/** Undefined when there is more than a file may have: some files do not know their size. */
function readLimited(fd: number, size: number): string | undefined {
  const chunks: Buffer[] = [];
  let total = 0;
  while (total <= FILE_BYTES_MAX) {
    const chunk = Buffer.allocUnsafe(chunks.length === 0 ? size + 1 : CHUNK_BYTES);
    const count = readSync(fd, chunk);
    if (count === 0) return Buffer.concat(chunks).toString('utf8');
    chunks.push(chunk.subarray(0, count));
    total += count;
  }
  return undefined;
}
