/** The beginning of a program that takes no arguments: its settings are environment variables. */

export type ReadSettings<Read extends { readonly kind: 'ok' }> =
  | Read
  | { readonly kind: 'refused'; readonly problems: readonly string[] };

/** Answers `--help`, and refuses every other argument. */
export function takeNoArguments(usage: string): void {
  const [argument] = process.argv.slice(2);
  if (argument === '--help' || argument === '-h') {
    process.stdout.write(usage);
    process.exit(0);
  }
  if (argument === undefined) return;
  process.stderr.write(`Unknown argument ${JSON.stringify(argument)}\n\n${usage}`);
  process.exit(1);
}

/** The settings; or the end of the program, which names all that is wrong with them. */
export function settingsOrExit<Read extends { readonly kind: 'ok' }>(
  program: string,
  read: ReadSettings<Read>,
): Read {
  if (read.kind === 'ok') return read;
  const problems = read.problems.map((problem) => `  ${problem}\n`).join('');
  process.stderr.write(`${program} cannot start, its settings are wrong:\n${problems}`);
  process.exit(1);
}
