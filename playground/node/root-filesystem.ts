/** An entry of the root directory of a file system that others are made from. */
export type RootEntry =
  | { readonly kind: 'directory'; readonly name: string }
  | { readonly kind: 'symlink'; readonly name: string; readonly target: string };

/** A root file system that is put together from another one, with writes kept apart. */
export interface RootFilesystem {
  /** The one underneath, without a slash at its end; empty for `/`. */
  readonly lower: string;
  /** Its entries: see {@link wantedEntries}. */
  readonly entries: readonly RootEntry[];
  /** A directory of a tmpfs that exists and is private to this one; gets `root`, `upper` and `work`. */
  readonly scratch: string;
  /** Directories to have as mount points, absolute, inside. */
  readonly directories: readonly string[];
  /** Empty files to have as mount points, absolute, inside. */
  readonly files: readonly string[];
  /** In a user namespace overlays keep their notes in `user.` attributes. */
  readonly userNamespace: boolean;
}

/**
 * Directories that are made anew (the kernel's, /run, /tmp), that hold other machines' or removable file systems, or that
 * nothing in a container looks into.
 */
const LEFT_OUT: ReadonlySet<string> = new Set([
  'proc',
  'sys',
  'dev',
  'run',
  'tmp',
  'boot',
  'mnt',
  'media',
  'lost+found',
  'old_root',
  'ambit',
]);

/** Directories that programs make others in: in a user namespace only what the upper directory has can be written to. */
const WRITABLE = ['/var/lib', '/var/log', '/var/cache'];

/** Which entries of a root directory a container gets. */
export function wantedEntries(entries: readonly RootEntry[]): readonly RootEntry[] {
  return entries.filter(({ name }) => !LEFT_OUT.has(name) && !name.startsWith('.'));
}

/** Where the root that {@link rootFilesystemScript} makes is. */
export function rootOf(filesystem: RootFilesystem): string {
  return `${filesystem.scratch}/root`;
}

/**
 * A shell script (POSIX, `set -e`) that puts the file system together at {@link rootOf}.
 *
 * Each directory of the root becomes an overlay of its own. One overlay of the whole root would be less, but
 * it may not be mounted in a user namespace, where mounts are locked to what covers them, and it would not
 * show what is mounted on a directory such as /home. Mount points are made in the upper directory before
 * anything is mounted: to make them in the overlay would copy the directories around them, which a user
 * namespace can't when somebody unmapped owns them.
 */
export function rootFilesystemScript(filesystem: RootFilesystem): readonly string[] {
  const { scratch, lower, entries } = filesystem;
  const root = rootOf(filesystem);
  const overlaid = entries.filter((entry) => entry.kind === 'directory').map(({ name }) => name);
  const isOverlaid = (path: string): boolean => overlaid.includes(path.split('/')[1] ?? '');
  const placeFor = (path: string): string =>
    `${isOverlaid(path) ? `${scratch}/upper` : root}${path}`;
  const options = filesystem.userNamespace ? 'userxattr' : 'index=off,metacopy=off';
  return [
    `mkdir -p ${quoteAll([root])}`,
    `mount -t tmpfs -o mode=755 root ${quoteShell(root)}`,
    `mkdir -m 1777 ${quoteShell(`${root}/tmp`)}`,
    `mkdir -p ${quoteAll([
      ...overlaid.flatMap((name) => [
        `${root}/${name}`,
        `${scratch}/upper/${name}`,
        `${scratch}/work/${name}`,
      ]),
      ...['proc', 'sys', 'dev', 'run'].map((name) => `${root}/${name}`),
      ...[...WRITABLE, ...filesystem.directories].map(placeFor),
      ...filesystem.files.map((path) => placeFor(parent(path))),
    ])}`,
    ...(filesystem.files.length === 0
      ? []
      : [`touch ${quoteAll(filesystem.files.map((path) => placeFor(path)))}`]),
    ...entries.flatMap((entry) =>
      entry.kind === 'symlink'
        ? [`ln -s ${quoteShell(entry.target)} ${quoteShell(`${root}/${entry.name}`)}`]
        : [
            // The merged directory looks like the upper one.
            `chmod --reference=${quoteShell(`${lower}/${entry.name}`)} ${quoteShell(`${scratch}/upper/${entry.name}`)}`,
            `mount -t overlay overlay -o ${quoteShell(
              `lowerdir=${lower}/${entry.name},upperdir=${scratch}/upper/${entry.name},workdir=${scratch}/work/${entry.name},${options}`,
            )} ${quoteShell(`${root}/${entry.name}`)}`,
          ],
    ),
  ];
}

/** Quotes a word for a POSIX shell. */
export function quoteShell(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}

export function quoteAll(words: readonly string[]): string {
  return [...new Set(words)].map((word) => quoteShell(word)).join(' ');
}

function parent(path: string): string {
  return path.slice(0, path.lastIndexOf('/'));
}
