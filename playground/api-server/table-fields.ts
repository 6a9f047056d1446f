/** Any part of a stored object. */
export type Fields = Readonly<Record<string, unknown>>;
/** What the columns of a kind show of one object. */
export type Cells = (object: Fields, nowMs: number) => readonly unknown[];

/** What stands for nothing. */
export const NONE = '<none>';

/** A field of something that may not be an object. */
export function at(value: unknown, ...path: readonly string[]): unknown {
  let here = value;
  for (const name of path) {
    if (typeof here !== 'object' || here === null) return undefined;
    here = (here as Fields)[name];
  }
  return here;
}

/** The elements of something that may not be a list. */
export function listAt(value: unknown, ...path: readonly string[]): readonly Fields[] {
  const list = at(value, ...path);
  return Array.isArray(list) ? (list as Fields[]) : [];
}

/** A text, or what stands for none. */
export function textAt(value: unknown, ...path: readonly string[]): string {
  const found = at(value, ...path);
  return typeof found === 'string' && found !== '' ? found : NONE;
}

export function numberAt(value: unknown, ...path: readonly string[]): number {
  const found = at(value, ...path);
  return typeof found === 'number' ? found : 0;
}

/** `a=b,c=d`, sorted. */
export function labelsText(labels: unknown): string {
  const pairs = Object.entries((labels ?? {}) as Record<string, string>);
  if (pairs.length === 0) return NONE;
  return pairs
    .map(([key, value]) => `${key}=${value}`)
    .toSorted()
    .join(',');
}

/** Any value as a cell shows it: texts as they are, objects as JSON, nothing as nothing. */
export function plainText(value: unknown): string {
  if (typeof value === 'string') return value;
  return value === undefined || value === null ? '' : JSON.stringify(value);
}
