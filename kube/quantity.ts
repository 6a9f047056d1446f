const SUFFIXES: Readonly<Record<string, number>> = {
  n: -9,
  u: -6,
  m: -3,
  '': 0,
  k: 3,
  M: 6,
  G: 9,
  T: 12,
  P: 15,
  E: 18,
};
const BINARY_SUFFIXES = ['Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'];

/** Whether a text is an amount of a resource ("250m", "64Mi", "1e3"). */
export function isQuantity(text: string): boolean {
  return /^[-+]?(\d+\.?\d*|\.\d+)([numkMGTPE]|[KMGTPE]i|[eE][-+]?\d+)?$/u.test(text);
}

/** The amount that a quantity stands for, as a number. Undefined for a text that is none. */
export function parseQuantity(text: string): number | undefined {
  if (!isQuantity(text)) return undefined;
  const number = Number.parseFloat(text);
  const suffix = text.replace(/^[-+]?[\d.]+/u, '');
  const binary = BINARY_SUFFIXES.indexOf(suffix);
  if (binary >= 0) return number * 1024 ** (binary + 1);
  if (/^[eE][-+]?\d+$/u.test(suffix)) return Number(text);
  return number * 10 ** (SUFFIXES[suffix] ?? 0);
}
