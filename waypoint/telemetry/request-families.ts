import type { HistogramFamily, HistogramSample } from '#common/metrics/histogram-text.ts';
import type { MetricFamily } from '#common/metrics/registry.ts';

import { namedRequestLabels } from './request-labels.ts';
import type { RequestMetrics } from './request-metrics.ts';
import type { Amount, RequestSeries } from './request-series.ts';

/** The standard metrics of requests, read from the sums that the control thread keeps. */
export function requestFamilies(
  totals: RequestMetrics,
): readonly (MetricFamily | HistogramFamily)[] {
  const counter = (
    name: string,
    help: string,
    pick: (series: RequestSeries) => number | undefined,
  ): MetricFamily => ({
    kind: 'counter',
    name,
    help,
    read: () =>
      totals.series().flatMap((series) => {
        const value = pick(series);
        return value === undefined ? [] : [{ labels: labelsOf(series), value }];
      }),
  });
  const histogram = (name: string, help: string, amount: Amount): HistogramFamily => ({
    kind: 'histogram',
    name,
    help,
    // One at a time: there may be thousands.
    *read(): Generator<HistogramSample> {
      for (const series of totals.series()) {
        yield { labels: labelsOf(series), reading: series.histogram(amount) };
      }
    },
  });
  return [
    counter(
      'istio_requests_total',
      'Requests that have come to their end',
      (series) => series.requests,
    ),
    histogram(
      'istio_request_duration_milliseconds',
      'From the request to the end of its answer',
      'duration',
    ),
    histogram('istio_request_bytes', 'Sizes of the bodies of requests', 'requestBytes'),
    histogram('istio_response_bytes', 'Sizes of the bodies of responses', 'responseBytes'),
    counter('istio_request_messages_total', 'Messages that gRPC clients have sent', (series) =>
      ofCalls(series, series.requestMessages),
    ),
    counter('istio_response_messages_total', 'Messages that gRPC servers have sent', (series) =>
      ofCalls(series, series.responseMessages),
    ),
  ];
}

/** Undefined for what is no gRPC call: it has no messages. */
function ofCalls(series: RequestSeries, messages: number): number | undefined {
  return labelsOf(series)['request_protocol'] === 'grpc' ? messages : undefined;
}

const named = new WeakMap<RequestSeries, Readonly<Record<string, string>>>();

/** The same object for the same series: its text is made once. */
function labelsOf(series: RequestSeries): Readonly<Record<string, string>> {
  let labels = named.get(series);
  if (labels === undefined) {
    labels = namedRequestLabels(series.labels);
    named.set(series, labels);
  }
  return labels;
}
