import { readFile } from 'node:fs/promises';

/** A text itself, or the file that holds it. */
export type TextSource =
  | { readonly kind: 'inline'; readonly text: string }
  | { readonly kind: 'file'; readonly path: string };

export type TextRead =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'failed'; readonly reason: string };

/** Trust bundles are the largest: a public one is about 250 KB. */
export const TEXT_LENGTH_MAX = 1_048_576;

/** Gives the text, read anew from its file: mounted secrets and tokens change while we run. */
export async function readTextSource(source: TextSource): Promise<TextRead> {
  if (source.kind === 'inline') return { kind: 'text', text: source.text };
  try {
    const text = await readFile(source.path, 'utf8');
    return text.length <= TEXT_LENGTH_MAX
      ? { kind: 'text', text }
      : { kind: 'failed', reason: `"${source.path}" is longer than ${TEXT_LENGTH_MAX} characters` };
  } catch (error) {
    return { kind: 'failed', reason: `Cannot read "${source.path}": ${whyNot(error)}` };
  }
}

const REASONS = new Map([
  ['ENOENT', 'there is no such file'],
  ['EACCES', 'permission denied'],
  ['EISDIR', 'it is a directory'],
]);

function whyNot(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  return REASONS.get(code) ?? (error instanceof Error ? error.message : String(error));
}
