/** An object as somebody has written it. */
export type Written = Readonly<Record<string, unknown>>;

/** What is no object has no fields. */
export function record(value: unknown): Written {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Written)
    : {};
}

/** What is no list has no entries. */
export function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? (value as readonly unknown[]) : [];
}

/** A text that says something. */
export function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** Nothing is said. */
export function isBlank(value: unknown): boolean {
  return value === undefined || value === null || (Array.isArray(value) && value.length === 0);
}

export function isPort(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value > 0 && value <= 65_535;
}
