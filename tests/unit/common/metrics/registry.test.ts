import { expect } from 'chai';
import { describe, it } from 'mocha';
import { Histogram } from '#common/metrics/histogram.ts';
import type { MetricFamily } from '#common/metrics/registry.ts';
import {
  expositionFormat,
  MetricsRegistry,
  single,
  singleHistogram,
} from '#common/metrics/registry.ts';

const opened: MetricFamily = {
  kind: 'counter',
  name: 'doors_opened_total',
  help: 'Doors opened',
  read: async () => [
    { labels: { room: 'hall', note: 'a "b"\\\n' }, value: 3 },
    { labels: { room: 'attic' }, value: 0 },
  ],
};

function withoutLabels(text: string): readonly string[] {
  return text.split('\n').filter((line) => !line.includes('{'));
}

describe('MetricsRegistry', () => {
  it('writes the Prometheus format', async () => {
    const registry = new MetricsRegistry([opened, single('gauge', 'rooms', 'Rooms', () => 2)]);
    expect(await registry.render('prometheus')).to.equal(
      [
        '# HELP doors_opened_total Doors opened',
        '# TYPE doors_opened_total counter',
        String.raw`doors_opened_total{room="hall",note="a \"b\"\\\n"} 3`,
        'doors_opened_total{room="attic"} 0',
        '',
        '# HELP rooms Rooms',
        '# TYPE rooms gauge',
        'rooms 2',
        '',
      ].join('\n'),
    );
  });

  it('writes OpenMetrics, in either order of asking', async () => {
    const registry = new MetricsRegistry([opened]);
    const before = await registry.render('prometheus');
    expect(await registry.render('openmetrics')).to.equal(
      [
        '# HELP doors_opened Doors opened',
        '# TYPE doors_opened counter',
        String.raw`doors_opened_total{room="hall",note="a \"b\"\\\n"} 3`,
        'doors_opened_total{room="attic"} 0',
        '# EOF',
        '',
      ].join('\n'),
    );
    expect(await registry.render('prometheus')).to.equal(before);
  });

  it('writes a histogram', async () => {
    const waits = new Histogram([0.1, 1]);
    const family = singleHistogram('waits', 'Waits', () => waits.read());
    const registry = new MetricsRegistry([family]);
    for (const seconds of [0.1, 0.5, 3]) waits.observe(seconds);
    const lines = [
      '# HELP waits Waits',
      '# TYPE waits histogram',
      'waits_bucket{le="0.1"} 1',
      'waits_bucket{le="1"} 2',
      'waits_bucket{le="+Inf"} 3',
      'waits_sum 3.6',
      'waits_count 3',
    ];
    expect(await registry.render('prometheus')).to.equal([...lines, ''].join('\n'));
    expect(await registry.render('openmetrics')).to.equal([...lines, '# EOF', ''].join('\n'));
  });

  it('writes a histogram for each set of labels', async () => {
    const [hall, attic] = [new Histogram([1]), new Histogram([1])];
    hall.observe(0.5);
    attic.observe(2);
    const registry = new MetricsRegistry([
      {
        kind: 'histogram',
        name: 'waits',
        help: 'Waits',
        read: () => [
          { labels: { room: 'hall' }, reading: hall.read() },
          { labels: { room: 'at"tic' }, reading: attic.read() },
        ],
      },
    ]);
    expect((await registry.render('prometheus')).split('\n').slice(2)).to.deep.equal([
      'waits_bucket{le="1",room="hall"} 1',
      'waits_bucket{le="+Inf",room="hall"} 1',
      'waits_sum{room="hall"} 0.5',
      'waits_count{room="hall"} 1',
      String.raw`waits_bucket{le="1",room="at\"tic"} 0`,
      String.raw`waits_bucket{le="+Inf",room="at\"tic"} 1`,
      String.raw`waits_sum{room="at\"tic"} 2`,
      String.raw`waits_count{room="at\"tic"} 1`,
      '',
    ]);
  });

  it('writes histograms behind all others', async () => {
    const waits = singleHistogram('waits', 'Wait\\s\n', () => new Histogram([1]).read());
    const registry = new MetricsRegistry([waits, opened]);
    const histogram = [String.raw`# HELP waits Wait\\s\n`, '# TYPE waits histogram'];
    expect(withoutLabels(await registry.render('prometheus'))).to.deep.equal([
      '# HELP doors_opened_total Doors opened',
      '# TYPE doors_opened_total counter',
      '',
      ...histogram,
      'waits_sum 0',
      'waits_count 0',
      '',
    ]);
    expect(withoutLabels(await registry.render('openmetrics'))).to.deep.equal([
      '# HELP doors_opened Doors opened',
      '# TYPE doors_opened counter',
      ...histogram,
      'waits_sum 0',
      'waits_count 0',
      '# EOF',
      '',
    ]);
  });

  it('asks for the numbers each time', async () => {
    let rooms = 1;
    const registry = new MetricsRegistry([single('gauge', 'rooms', 'Rooms', () => rooms)]);
    expect(await registry.render('prometheus')).to.contain('\nrooms 1\n');
    rooms = 2;
    expect(await registry.render('prometheus')).to.contain('\nrooms 2\n');
  });

  it('refuses two families of one name', () => {
    expect(() => new MetricsRegistry([opened, { ...opened }])).to.throw('doors_opened_total');
  });
});

describe('expositionFormat()', () => {
  it('chooses OpenMetrics when the reader names it', () => {
    const prometheus =
      'application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1';
    expect(expositionFormat(prometheus)).to.equal('openmetrics');
    expect(expositionFormat('*/*')).to.equal('prometheus');
    expect(expositionFormat(undefined)).to.equal('prometheus');
  });
});
