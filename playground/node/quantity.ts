import { parseQuantity } from '#kube/quantity.ts';

/** What a `resourceFieldRef` answers: how many times the divisor fits, rounded up. A divisor that is missing or 0 counts as 1. */
export function dividedQuantity(value: number, divisor: string | undefined): string {
  const by = divisor === undefined ? 1 : (parseQuantity(divisor) ?? 1) || 1;
  return String(Math.ceil(value / by));
}
