import { closeSync, openSync, writeFileSync } from 'node:fs';
import { availableParallelism, release } from 'node:os';

import { becomeRoot } from '#tests/bed/root.ts';

import { holdColumn, measureColumn, prepare } from './columns.ts';
import type { Sample } from './figures.ts';
import { type BenchOptions, comparisonOf, readOptions, usage } from './options.ts';
import { renderTable, renderVerdict } from './report.ts';
import { summarise, withAddedLatency } from './statistics.ts';

const given = readOptions(process.argv.slice(2));
switch (given.kind) {
  case 'help':
    console.log(usage);
    break;
  case 'wrong':
    console.error(`${given.problems.join('\n')}\nSee "npm run bench -- --help"`);
    process.exitCode = 2;
    break;
  case 'run': {
    const unwritable = problemWith(given.options.out);
    if (unwritable !== undefined) {
      console.error(`Cannot write the result: ${unwritable}`);
      process.exitCode = 2;
      break;
    }
    const standing = await becomeRoot();
    if (standing.kind === 'root') process.exitCode = await run(given.options);
    else if (standing.kind === 'done') process.exitCode = standing.exitCode;
    else {
      console.error(`Cannot measure: ${standing.what}`);
      process.exitCode = 1;
    }
    break;
  }
}

/** Runs every column once per round, in turns, and prints the comparison; 1 when anything went wrong. */
async function run(options: BenchOptions): Promise<number> {
  // Namespaces and programs are removed on the way out.
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => process.exit(1));
  }
  const columns = [...options.proxies, ...options.peers.map((peer) => peer.name)];
  try {
    await prepare(options);
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    return 1;
  }
  if (options.hold) await holdColumn(columns[0] ?? '', options);
  const samples = new Map<string, Sample[]>(columns.map((name) => [name, []]));
  const problems: string[] = [];
  for (let round = 1; round <= options.rounds; round++) {
    const measuredNow = new Map<string, Sample>();
    for (const name of columns) {
      const where = `round ${round} of ${options.rounds}, ${name}`;
      console.error(`measuring: ${where}`);
      try {
        const measured = await measureColumn(name, options);
        measuredNow.set(name, measured.sample);
        problems.push(...measured.problems.map((problem) => `${where}: ${problem}`));
      } catch (error) {
        problems.push(`${where}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
    for (const [name, sample] of withAddedLatency(measuredNow)) samples.get(name)?.push(sample);
  }
  report(options, { columns, samples, problems });
  return problems.length > 0 ? 1 : 0;
}

/** Known before the measurement, not after it. What is in the file stays until then. */
function problemWith(out: string | undefined): string | undefined {
  if (out === undefined) return undefined;
  try {
    closeSync(openSync(out, 'a'));
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function report(
  options: BenchOptions,
  found: {
    readonly columns: readonly string[];
    readonly samples: ReadonlyMap<string, readonly Sample[]>;
    readonly problems: readonly string[];
  },
): void {
  const comparison = comparisonOf(options.subject);
  const rows = summarise(found.samples, comparison);
  console.log(
    `\n${comparison.path}; load, proxies and servers share ${availableParallelism()} cores.` +
      `\nMedians of ${options.rounds} rounds of ${options.seconds} s each (± half the range); CPU and memory of ${comparison.whose}.\n`,
  );
  console.log(renderTable(rows, found.columns, comparison));
  console.log(`\n${renderVerdict(rows, comparison)}`);
  for (const problem of found.problems) console.error(`PROBLEM: ${problem}`);
  if (options.out === undefined) return;
  const machine = { cores: availableParallelism(), kernel: release(), node: process.version };
  const samples = Object.fromEntries(found.samples);
  const summary = rows.map((row) => ({ ...row, columns: Object.fromEntries(row.columns) }));
  const { seconds, rounds } = options;
  const whole = { machine, seconds, rounds, samples, summary, problems: found.problems };
  writeFileSync(options.out, `${JSON.stringify(whole, undefined, 2)}\n`);
}
