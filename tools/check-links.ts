// Checks every Markdown file: relative links lead to a file (and its heading), paths in `code` exist.
import { existsSync, globSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join, normalize } from 'node:path';

import { sourceFolders } from './source-folders.ts';

const documents = globSync('**/*.md', { exclude: ['**/node_modules/**', 'coverage/**'] });
/** Names of all our files, for documents that speak of a file beside one that they named in full. */
const names = new Set(
  globSync('**/*.{ts,mjs,md}', { exclude: ['**/node_modules/**', 'coverage/**'] }).map((path) =>
    basename(path),
  ),
);
const problems = documents.flatMap((document) => {
  const text = withoutFences(readFileSync(document, 'utf8'));
  return [...brokenLinks(document, text), ...missingPaths(document, text)];
});
for (const problem of problems) console.error(problem);
process.exitCode = problems.length === 0 ? 0 : 1;

/** `[text](path#heading)`; links to other sites are not followed. */
function brokenLinks(document: string, text: string): string[] {
  return [...text.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, link = '']) => {
    if (/^[a-z]+:/.test(link)) return [];
    const [path = '', heading] = link.split('#');
    const target = path === '' ? document : normalize(join(dirname(document), path));
    if (!existsSync(target)) return [`${document}: link to "${link}", but there is no ${target}`];
    if (heading === undefined || statSync(target).isDirectory()) return [];
    return headingsOf(target).includes(heading)
      ? []
      : [`${document}: link to "${link}", but ${target} has no such heading`];
  });
}

/** Paths such as `codec/http2/frame.ts`, from the repository's root or from the document's folder. */
function missingPaths(document: string, text: string): string[] {
  return [...text.matchAll(/`([\w.@-]+(?:\/[\w.@-]+)*\/?)`/g)].flatMap(([, path = '']) => {
    if (!looksLikeOurs(path)) return [];
    const beside = existsSync(path) || existsSync(join(dirname(document), path));
    const known = beside || names.has(path);
    return known ? [] : [`${document}: names \`${path}\`, which does not exist`];
  });
}

function looksLikeOurs(path: string): boolean {
  const inOurFolders = sourceFolders.includes(path.split('/')[0] ?? '') && path.includes('/');
  return inOurFolders || /^[\w.-]+\.(ts|mjs|md)$/.test(path);
}

/** As GitHub makes them: lower case, spaces to dashes, punctuation dropped. */
function headingsOf(document: string): string[] {
  return [...withoutFences(readFileSync(document, 'utf8')).matchAll(/^#+ +(.+)$/gm)].map(
    ([, heading = '']) =>
      heading
        .toLowerCase()
        .replace(/[^\p{Letter}\p{Number}\s_-]/gu, '')
        .trim()
        .replaceAll(' ', '-'),
  );
}

function withoutFences(text: string): string {
  return text.replace(/^```[^]*?^```/gm, '');
}
