import { keepCompiledCode, saveCompiledCode } from '#common/compile-cache.ts';

const usage = `Usage: node playground/node/main.ts CONFIG

A node of the playground: kubelet, service proxy and name server. The supervisor starts it inside the node's
namespaces, with the file of its settings.
`;
const [configPath] = process.argv.slice(2);
if (configPath === undefined || configPath.startsWith('-')) {
  process.stderr.write(usage);
  process.exit(configPath === '--help' ? 0 : 1);
}

// Agents find the kubelet of a node by this name.
process.title = 'kubelet';
keepCompiledCode();
// Imported only now: what is imported above is compiled before the cache is there.
const { readKubeletConfig } = await import('./config.ts');
const { NodeApp } = await import('./app.ts');

const app = new NodeApp(readKubeletConfig(configPath));
let stopping = false;
const stop = (): void => {
  if (stopping) process.exit(1);
  stopping = true;
  void app.stop().finally(() => process.exit(0));
};
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, stop);
// The supervisor holds the other end: it has gone, or wants us to go.
process.stdin.on('end', stop);
process.stdin.resume();

await app.start();
saveCompiledCode();
