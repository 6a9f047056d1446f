const FACTORS: ReadonlyMap<string, number> = new Map([
  ['n', 1e-9],
  ['u', 1e-6],
  ['m', 1e-3],
  ['', 1],
  ['k', 1e3],
  ['M', 1e6],
  ['G', 1e9],
  ['T', 1e12],
  ['P', 1e15],
  ['E', 1e18],
  ['Ki', 2 ** 10],
  ['Mi', 2 ** 20],
  ['Gi', 2 ** 30],
  ['Ti', 2 ** 40],
  ['Pi', 2 ** 50],
  ['Ei', 2 ** 60],
]);

/** A resource quantity (`500m`, `64Mi`, `1e3`) as a plain number; undefined when the text is not one. */
export function parseQuantity(text: string): number | undefined {
  const match = /^([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)([a-zA-Z]*)$/.exec(text.trim());
  const factor = FACTORS.get(match?.[2] ?? '-');
  return match === null || factor === undefined ? undefined : Number(match[1]) * factor;
}

/** What a `resourceFieldRef` answers: how many times the divisor fits, rounded up. A divisor that is missing or 0 counts as 1. */
export function dividedQuantity(value: number, divisor: string | undefined): string {
  const by = divisor === undefined ? 1 : (parseQuantity(divisor) ?? 1) || 1;
  return String(Math.ceil(value / by));
}
