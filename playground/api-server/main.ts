import { keepCompiledCode } from '#common/compile-cache.ts';

keepCompiledCode();
// Imported only now: what is imported above is compiled before the cache is there.
const { LineWriter } = await import('#common/log/writer.ts');
const { Logger } = await import('#common/log/logger.ts');
const { LogLevels } = await import('#common/log/filter.ts');
const { ApiServerApp } = await import('./app.ts');
const { readConfig, urlOf, usage } = await import('./config.ts');
const { openCredentials, writeKubeconfig } = await import('./credentials.ts');
const { runControllers } = await import('./cluster-controllers.ts');

const args = process.argv.slice(2);
if (args.includes('--help') || args.includes('-h')) {
  process.stdout.write(usage);
  process.exit(0);
}
const read = readConfig(args);
if (read.kind === 'refused') {
  const problems = read.problems.map((problem) => `  ${problem}\n`).join('');
  process.stderr.write(
    `The API server cannot start, its arguments are wrong:\n${problems}\n${usage}`,
  );
  process.exit(1);
}
const { config } = read;

const writer = new LineWriter(
  1,
  (lines) => `${lines} log lines were lost: nobody read them in time`,
);
const levels = new LogLevels(config.log);
const logger = new Logger({ levels, format: 'text', sink: writer, now: Date.now }, 'apiserver');

try {
  const serverHost = config.serverUrl === undefined ? [] : [new URL(config.serverUrl).hostname];
  const hosts = config.listen.flatMap((listen) => ('host' in listen ? [listen.host] : []));
  const endpoint = config.endpoint === undefined ? [] : [config.endpoint.address];
  const credentials = openCredentials(config.stateDirectory, {
    serverNames: serverHost.filter((host) => !isAddress(host)),
    serverAddresses: [...hosts, ...endpoint, ...serverHost.filter(isAddress)],
    nowMs: Date.now(),
  });
  const app = new ApiServerApp({
    credentials,
    listen: config.listen,
    logger,
    ...(config.endpoint === undefined ? {} : { endpoint: config.endpoint }),
  });
  const addresses = await app.start();
  const [first] = addresses;
  const server = config.serverUrl ?? (first === undefined ? '' : urlOf(first));
  if (config.kubeconfig !== undefined)
    writeKubeconfig(config.kubeconfig, credentials, { name: config.name, server });
  const controllers =
    first && config.controllers ? runControllers(credentials, urlOf(first), logger) : undefined;
  // Who has started us waits for this line.
  process.stdout.write(`ready ${addresses.map(urlOf).join(' ')}\n`);
  await firstSignal();
  controllers?.stop();
  await app.stop();
  process.exit(0);
} catch (error) {
  const reason = error instanceof Error ? error.message : String(error);
  process.stderr.write(`The API server cannot go on: ${reason}\n`);
  process.exit(1);
}

function isAddress(host: string): boolean {
  return /^[\d.]+$|:/.test(host);
}

function firstSignal(): Promise<void> {
  return new Promise((resolve) => {
    process.once('SIGTERM', () => resolve());
    process.once('SIGINT', () => resolve());
  });
}
