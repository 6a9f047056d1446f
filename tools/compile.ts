// Compiles the product's files, so that its programs find them compiled at their first start: `node tools/compile.ts`.
// Whatever goes wrong here costs time later, nothing else.
import { spawnSync } from 'node:child_process';
import { chmodSync, globSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

import { compiledCodeEnvironment } from '#common/compile-cache.ts';
import { SMALL_MEMORY } from '#playground/small-memory.ts';

import { productFolders } from './source-folders.ts';

const project = dirname(dirname(fileURLToPath(import.meta.url)));
const environment = compiledCodeEnvironment(project);
const folder = environment['NODE_COMPILE_CACHE'] ?? '';

// All files are compiled before the first of them runs; the first of them is one that fails, so that no other runs.
const files = globSync(`{${productFolders.join(',')}}/**/*.ts`, { cwd: project });
const imports = files.map(
  (file) => `import ${JSON.stringify(pathToFileURL(join(project, file)).href)};`,
);
const all = ["import 'data:text/javascript,throw 0';", ...imports].join('\n');
// As the programs do it: see keepCompiledCode().
const program = `
  import { keepYoungGenerationSmall } from './common/young-generation.ts';
  keepYoungGenerationSmall();
  const failure = await import(${JSON.stringify(`data:text/javascript,${encodeURIComponent(all)}`)}).catch((thrown) => thrown);
  if (failure !== 0) throw failure;
`;
/** It takes 5 s where nothing else runs. */
const DEADLINE_MS = 300_000;

// V8 compiles for the flags that it has been started with.
for (const flags of [[], SMALL_MEMORY.flags]) {
  const done = spawnSync(process.execPath, [...flags, '--input-type=module', '-'], {
    cwd: project,
    env: { ...process.env, ...environment },
    input: program,
    encoding: 'utf8',
    timeout: DEADLINE_MS,
  });
  if (done.status !== 0) throw new Error(`Cannot compile: ${done.stderr}`);
}
// Containers run as other users.
for (const file of globSync(`${folder}/*/*`)) chmodSync(file, 0o644);
writeFileSync(`${folder}/.complete`, '');
