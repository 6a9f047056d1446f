import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What the `openssl` program of this machine says: an independent judge of what we write. */
export interface Verdict {
  readonly ok: boolean;
  /** Standard output and standard error. */
  readonly text: string;
}

/**
 * Runs `openssl` with the given arguments. An argument that is an object with one key is written to a
 * file of that name first: `openssl(['x509', '-noout', '-in', { 'leaf.pem': pem }])`.
 */
export function openssl(args: ReadonlyArray<string | Readonly<Record<string, string>>>): Verdict {
  const directory = mkdtempSync(join(tmpdir(), 'openssl-'));
  try {
    const words = args.map((argument) => {
      if (typeof argument === 'string') return argument;
      const [file] = Object.entries(argument);
      if (file === undefined) throw new Error('Want { name: content }');
      const path = join(directory, file[0]);
      writeFileSync(path, file[1], { mode: 0o600 });
      return path;
    });
    const result = spawnSync('openssl', words, { encoding: 'utf8', input: '' });
    if (result.error !== undefined) throw result.error;
    return { ok: result.status === 0, text: `${result.stdout}${result.stderr}` };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
