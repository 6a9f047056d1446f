import { type MetricFamily, single } from '#common/metrics/registry.ts';

/** What the certificate service counts, under the names that dashboards of such services read. */
export class SigningCounters {
  requests = 0;
  authenticationFailures = 0;
  unreadableRequests = 0;
  issued = 0;
  readonly failures: Map<string, number> = new Map();

  failed(error: string): void {
    this.failures.set(error, (this.failures.get(error) ?? 0) + 1);
  }

  families(rootNotAfterMs: () => number, now: () => number): readonly MetricFamily[] {
    return [
      counter('csr_count', 'Signing requests', () => this.requests),
      counter(
        'authentication_failure_count',
        'Signing requests whose caller was not authenticated or not allowed',
        () => this.authenticationFailures,
      ),
      counter(
        'csr_parsing_err_count',
        'Signing requests that could not be read',
        () => this.unreadableRequests,
      ),
      counter('success_cert_issuance_count', 'Certificates issued', () => this.issued),
      {
        kind: 'counter',
        name: 'citadel_server_csr_sign_err_count',
        help: 'Signing requests that were read, allowed and not signed',
        read: () => [...this.failures].map(([error, value]) => ({ labels: { error }, value })),
      },
      // The root signs by itself: it is the chain.
      ...(['root_cert', 'cert_chain'] as const).flatMap((name) => [
        single(
          'gauge',
          `citadel_server_${name}_expiry_timestamp`,
          'When the root expires, seconds since the epoch',
          () => rootNotAfterMs() / 1_000,
        ),
        single(
          'gauge',
          `citadel_server_${name}_expiry_seconds`,
          'Seconds until the root expires',
          () => (rootNotAfterMs() - now()) / 1_000,
        ),
      ]),
    ];
  }
}

function counter(name: string, help: string, read: () => number): MetricFamily {
  return single('counter', `citadel_server_${name}`, help, read);
}
