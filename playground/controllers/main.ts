import { keepCompiledCode, saveCompiledCode } from '#common/compile-cache.ts';

keepCompiledCode();
// Imported only now: what is imported above is compiled before the cache is there.
const { readFileSync } = await import('node:fs');
const { join } = await import('node:path');
const { LogLevels, parseLogFilter } = await import('#common/log/filter.ts');
const { Logger } = await import('#common/log/logger.ts');
const { LineWriter } = await import('#common/log/writer.ts');
const { KubeClient } = await import('#kube/client.ts');
const { startControllers } = await import('./start.ts');

const usage = `Usage: node playground/controllers/main.ts SERVER DIRECTORY

The controllers of a cluster. SERVER is the URL of its API server, DIRECTORY has its ca.crt, and admin.crt with admin.key.
Prints "ready" when all of them work; ends when its standard input does.
`;
const [server, directory] = process.argv.slice(2);
if (server === undefined || directory === undefined) {
  process.stderr.write(usage);
  process.exit(server === '--help' ? 0 : 1);
}

const read = (name: string): string => readFileSync(join(directory, name), 'utf8');
const filter = parseLogFilter('info');
if (filter.kind === 'refused') throw new Error(filter.problem);
const writer = new LineWriter(2, (lines) => `${lines} lines of the log are missing`);
const levels = new LogLevels(filter.filter);
const log = new Logger({ levels, format: 'text', sink: writer, now: Date.now }, 'controllers');
const caPem = read('ca.crt');
const client = new KubeClient({
  server,
  caPem,
  clientCertificatePem: read('admin.crt'),
  clientKeyPem: read('admin.key'),
});
const controllers = startControllers({ client, caPem, log });
const stop = (): void => {
  controllers.stop();
  client.close();
  void writer.flush().then(() => process.exit(0));
};
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, stop);
process.stdin.on('end', stop).resume();
await controllers.running;
process.stdout.write('ready\n');
saveCompiledCode();
