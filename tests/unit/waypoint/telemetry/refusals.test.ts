import { expect } from 'chai';
import { describe, it } from 'mocha';

import { MetricsRegistry } from '#common/metrics/registry.ts';
import { faultName, Refusals } from '#waypoint/telemetry/refusals.ts';

async function samples(refusals: Refusals): Promise<readonly string[]> {
  const text = await new MetricsRegistry(refusals.families()).render('prometheus');
  return text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
}

describe('Refusals', () => {
  it('sums up what workers have refused, by fault', async () => {
    const [worker, control] = [new Refusals(), new Refusals()];
    worker.addBadRequest('bareLineFeed');
    worker.addBadRequest('bareLineFeed');
    control.absorb(worker.take());
    worker.addBadRequest('severalHosts');
    worker.addBadRequest('bareLineFeed');
    worker.addRefused();
    control.absorb(worker.take());
    control.absorb(worker.take());
    expect(await samples(control)).to.deep.equal([
      'ambit_bad_requests_total{fault="bareLineFeed"} 3',
      'ambit_bad_requests_total{fault="severalHosts"} 1',
      'ambit_tunnels_refused_total 1',
    ]);
  });

  it('tells faults of HTTP/2 by their code alone', async () => {
    const refusals = new Refusals();
    refusals.addBadRequest('HTTP/2 error 1: a frame of 17 bytes');
    refusals.addBadRequest('HTTP/2 error 1: a frame of 18 bytes');
    expect((await samples(refusals))[0]).to.equal(
      'ambit_bad_requests_total{fault="HTTP/2 error 1"} 2',
    );
  });

  it('is bounded', async () => {
    const refusals = new Refusals();
    for (let fault = 0; fault < 1_000; fault++) refusals.addBadRequest(`fault ${fault}`);
    const shown = await samples(refusals);
    expect(shown).to.have.length(202);
    expect(shown).to.include('ambit_bad_requests_total{fault="others"} 800');
  });
});

describe('faultName()', () => {
  it('is one name for whatever a client may vary', () => {
    const names = [17, 18, 19].map((length) =>
      faultName(`HTTP/2 error 6: A frame has ${length} bytes`),
    );
    expect(new Set(names)).to.deep.equal(new Set(['HTTP/2 error 6']));
    expect(faultName('bareLineFeed')).to.equal('bareLineFeed');
  });
});
