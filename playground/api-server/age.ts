const SECOND_MS = 1000;
const MINUTE_S = 60;
const HOUR_M = 60;
const DAY_H = 24;
const YEAR_D = 365;

/** How long ago a time was, as `kubectl get` writes it: `5m3s`, `47h`, `3d4h`. */
export function ageText(time: unknown, nowMs: number): string {
  const ms = typeof time === 'string' ? Date.parse(time) : Number.NaN;
  return Number.isNaN(ms) ? '<unknown>' : durationText(nowMs - ms);
}

/** The two largest units as long as the second says something, then one. */
export function durationText(durationMs: number): string {
  const seconds = Math.trunc(durationMs / SECOND_MS);
  if (seconds < -1) return '<invalid>';
  if (seconds < 0) return '0s';
  if (seconds < 2 * MINUTE_S) return `${seconds}s`;
  const minutes = Math.trunc(seconds / MINUTE_S);
  if (minutes < 10) return two(minutes, 'm', seconds % MINUTE_S, 's');
  if (minutes < 3 * HOUR_M) return `${minutes}m`;
  const hours = Math.trunc(minutes / HOUR_M);
  if (hours < 8) return two(hours, 'h', minutes % HOUR_M, 'm');
  if (hours < 2 * DAY_H) return `${hours}h`;
  const days = Math.trunc(hours / DAY_H);
  if (days < 8) return two(days, 'd', hours % DAY_H, 'h');
  if (days < 2 * YEAR_D) return `${days}d`;
  const years = Math.trunc(days / YEAR_D);
  return years < 8 ? two(years, 'y', days % YEAR_D, 'd') : `${years}y`;
}

function two(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large}${largeUnit}` : `${large}${largeUnit}${small}${smallUnit}`;
}
