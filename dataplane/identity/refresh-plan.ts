import { type BackoffPlan, backoffMs } from '#common/backoff.ts';
import { halfLifeMs, type Validity } from '#common/tls/certificate.ts';

/**
 * Certificates are renewed at half their life, or up to this share of their life earlier, at random: a
 * node asked for all of its certificates at once when it started, and other nodes did at that time too.
 */
const REFRESH_JITTER = 0.1;

/** Between attempts for a certificate that no connection waits for. */
const BACKOFF: BackoffPlan = { firstMs: 1_000, maxMs: 150_000, spread: 0.2 };

/**
 * Between attempts for a first certificate while a connection waits: an authority that has just not
 * seen the pod yet will have in a moment.
 */
const QUICK_RETRY: BackoffPlan = { firstMs: 125, maxMs: 400, spread: 0.2 };

/** How long an identity without a certificate counts as "not yet" before it counts as "not". */
export const FIRST_CERTIFICATE_PATIENCE_MS = 5_000;

/**
 * A new connection cuts a long back-off short, but asks at most this often: an authority that is coming
 * back must not be met by every node's connections.
 */
export const RETRY_ON_DEMAND_MS = 5_000;

/** Refreshes of one identity are at least this far apart, however short its certificates live. */
const REFRESH_INTERVAL_MS_MIN = 1_000;

/** When to renew a certificate, whoever got it and whenever. */
export function refreshAtMs(validity: Validity, random: () => number): number {
  const lifeMs = validity.notAfterMs - validity.notBeforeMs;
  return halfLifeMs(validity) - lifeMs * REFRESH_JITTER * random();
}

/**
 * When to renew a certificate that was signed just now. If by our clock it is beyond half its life
 * already, our clock or the authority's is wrong: asking at once, again and again, would not help.
 */
export function firstRefreshAtMs(validity: Validity, nowMs: number, random: () => number): number {
  const atMs = refreshAtMs(validity, random);
  const earliestMs = nowMs + REFRESH_INTERVAL_MS_MIN;
  if (atMs >= earliestMs) return atMs;
  return Math.max(earliestMs, nowMs + (validity.notAfterMs - nowMs) / 2);
}

/** How long to wait after so many failures in a row. */
export function retryDelayMs(failures: number, quick: boolean, random: () => number): number {
  return backoffMs(quick ? QUICK_RETRY : BACKOFF, failures, random);
}
