// Fails when api/gen is not what `npm run gen` would write from api/proto.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const api = join(import.meta.dirname, '..', 'api');
const bin = join(import.meta.dirname, '..', 'node_modules', '.bin');

/** The generated files that are missing, unwanted or different, by name. */
function differences(committed: string, fresh: string): readonly string[] {
  const have = new Set(readdirSync(committed));
  const want = new Set(readdirSync(fresh));
  const problems: string[] = [];
  for (const name of want) {
    if (!have.has(name)) problems.push(`api/gen/${name} is missing`);
    else if (!readFileSync(join(committed, name)).equals(readFileSync(join(fresh, name))))
      problems.push(`api/gen/${name} is out of date`);
  }
  for (const name of have) {
    if (!want.has(name)) problems.push(`api/gen/${name} comes from no file in api/proto`);
  }
  return problems;
}

const scratch = mkdtempSync(join(tmpdir(), 'check-generated-'));
try {
  const buf = spawnSync(join(bin, 'buf'), ['generate', '--output', scratch], {
    cwd: api,
    encoding: 'utf8',
    env: { PATH: `${bin}:/usr/bin:/bin`, HOME: scratch },
  });
  const problems =
    buf.status === 0
      ? differences(join(api, 'gen'), join(scratch, 'gen'))
      : [`buf generate failed: ${buf.error?.message ?? buf.stderr.trim()}`];
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) {
    console.error('Run `npm run gen` and commit the result');
    process.exitCode = 1;
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
