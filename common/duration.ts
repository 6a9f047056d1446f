const MS_PER_UNIT: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
};

/**
 * Reads `10s`, `5m`, `1h30m`, `100ms`, `1.5s`: numbers with a unit each, added up. Answers
 * milliseconds, or undefined when the text has another form or no unit (a bare `5` could mean
 * anything).
 */
export function parseDurationMs(text: string): number | undefined {
  if (!/^(?:[0-9]{1,15}(?:\.[0-9]{1,9})?(?:ms|s|m|h))+$/.test(text)) return undefined;
  let totalMs = 0;
  for (const [, amount, unit] of text.matchAll(/([0-9.]+)(ms|s|m|h)/g)) {
    totalMs += Number(amount) * (MS_PER_UNIT[unit ?? ''] ?? Number.NaN);
  }
  return Number.isFinite(totalMs) ? totalMs : undefined;
}

/** Writes milliseconds so that {@link parseDurationMs} reads the same number: `1h30m`, `1s500ms`. */
export function formatDurationMs(durationMs: number): string {
  if (durationMs === 0) return '0s';
  let rest = durationMs;
  let text = '';
  for (const unit of ['h', 'm', 's'] as const) {
    const size = MS_PER_UNIT[unit] ?? 1;
    const whole = Math.floor(rest / size);
    if (whole > 0) text += `${whole}${unit}`;
    rest -= whole * size;
  }
  return rest > 0 ? `${text}${rest}ms` : text;
}
