import { keepCompiledCode } from '#common/compile-cache.ts';

keepCompiledCode();
// Imported only now: what is imported above is compiled before the cache is there.
const { readConfig, usage } = await import('./config.ts');
const { enterNamespaces } = await import('./namespaces.ts');
const { runCluster } = await import('./app.ts');
const { endCluster } = await import('./ending.ts');
const { StateDirectory } = await import('./state-directory.ts');

const args = process.argv.slice(2);
if (args.includes('--help') || args.includes('-h')) {
  process.stdout.write(usage);
  process.exit(0);
}
const read = readConfig(args);
if (read.kind === 'refused') {
  const problems = read.problems.map((problem) => `  ${problem}\n`).join('');
  process.stderr.write(`The playground cannot start, its arguments are wrong:\n${problems}`);
  process.exit(1);
}
try {
  const { config } = read;
  if (config.task === 'down') process.stdout.write(`${await endCluster(config)}\n`);
  else if (config.task === 'sweep') new StateDirectory(config.stateDirectory).sweep();
  else if (config.inside !== undefined) await runCluster(config, config.inside);
  else enterNamespaces(config, args);
  process.exit(0);
} catch (error) {
  const why = error instanceof Error ? error.message : String(error);
  process.stderr.write(`The playground cannot go on: ${why}\n`);
  process.exit(1);
}
