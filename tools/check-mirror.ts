// Checks that every file in tests/unit/ mirrors a product file: tests/unit/a/b.test.ts tests a/b.ts, and
// tests/unit/a/b.aspect.test.ts one aspect of it.
import { existsSync, globSync } from 'node:fs';

const strays = globSync('tests/unit/**/*.test.ts').filter((test) => !existsSync(subjectOf(test)));
for (const test of strays.toSorted()) {
  console.error(
    `${test} mirrors no file: there is no ${subjectOf(test)}. Rename it, or move it to`,
  );
  console.error('tests/integration/ or tests/conformance/ if it is about several files');
}
process.exitCode = strays.length === 0 ? 0 : 1;

function subjectOf(test: string): string {
  return test.replace(/^tests\/unit\//, '').replace(/(\.[\w-]+)?\.test\.ts$/, '.ts');
}
