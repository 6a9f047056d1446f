import { setTimeout as wait } from 'node:timers/promises';

import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';

import { KubeClient } from '#kube/client.ts';
import { EventRecorder, type EventText } from '#kube/event-recorder.ts';
import { EVENTS, type Event, NAMESPACES, type Pod } from '#kube/resources.ts';
import { startApiServer, type TestApiServer } from '#tests/bed/api-server.ts';
import { logLines } from '#tests/support/log-lines.ts';
import { ManualClock } from '#tests/support/manual-clock.ts';

const DEADLINE_MS = 60_000;
const PULLED: EventText = { type: 'Normal', reason: 'Pulled', message: 'image "a" is there' };

function pod(name: string, namespace = 'default'): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, uid: `uid-of-${name}`, resourceVersion: '7' },
    spec: { containers: [] },
  };
}

describe('EventRecorder', () => {
  let server: TestApiServer;
  let client: KubeClient;
  // Near the server's own, which throws old events away.
  const startedMs = Math.trunc(Date.now() / 1_000) * 1_000;
  const clock = new ManualClock(startedMs);
  const log = logLines();
  let recorder: EventRecorder;

  before(async () => {
    server = await startApiServer();
    client = new KubeClient(server.access());
    const source = { component: 'kubelet', host: 'near' };
    recorder = new EventRecorder({ client, source, log: log.log, clock });
  });

  after(async () => {
    client.close();
    await server[Symbol.asyncDispose]();
  });

  function timeAfter(ms: number): string {
    return new Date(startedMs + ms).toISOString().replace('.000Z', 'Z');
  }

  async function eventsOf(name: string): Promise<Event[]> {
    const fieldSelector = `involvedObject.name=${name}`;
    return (await client.list(EVENTS, { namespace: 'default', fieldSelector })).items;
  }

  /** Looks until the events of a pod are as wanted. */
  async function until(name: string, isSo: (events: readonly Event[]) => boolean): Promise<Event> {
    for (const deadlineMs = Date.now() + DEADLINE_MS; ; await wait(10)) {
      const events = await eventsOf(name);
      if (isSo(events)) return events[0]!;
      if (Date.now() > deadlineMs)
        throw new Error(
          `waited in vain for events of ${name}: ${JSON.stringify(events)} ${log.lines.join()}`,
        );
    }
  }

  it('says what happened to which object, when, and who says so', async () => {
    recorder.record(pod('one'), PULLED, 'spec.containers{main}');
    const event = await until('one', (events) => events.length > 0);
    expect(event).to.deep.include({
      ...PULLED,
      involvedObject: {
        apiVersion: 'v1',
        kind: 'Pod',
        name: 'one',
        namespace: 'default',
        uid: 'uid-of-one',
        resourceVersion: '7',
        fieldPath: 'spec.containers{main}',
      },
      source: { component: 'kubelet', host: 'near' },
      reportingComponent: 'kubelet',
      reportingInstance: 'near',
      firstTimestamp: timeAfter(0),
      lastTimestamp: timeAfter(0),
      count: 1,
    });
  });

  it('gives names that tell the order, also within one moment', async () => {
    const reasons = ['Pulled', 'Created', 'Started', 'Killing'];
    for (const reason of reasons) recorder.record(pod('quick'), { ...PULLED, reason });
    await until('quick', ({ length }) => length === reasons.length);
    // A list is sorted by name.
    expect((await eventsOf('quick')).map(({ reason }) => reason)).to.deep.equal(reasons);
  });

  it('counts what happens again, and begins anew when the event has gone', async () => {
    recorder.record(pod('two'), PULLED);
    await clock.advance(5_000);
    recorder.record(pod('two'), PULLED);
    const event = await until('two', ([first]) => first?.count === 2);
    expect(event.firstTimestamp).to.equal(timeAfter(0));
    expect(event.lastTimestamp).to.equal(timeAfter(5_000));
    await client.delete(EVENTS, event.metadata.name, 'default');
    recorder.record(pod('two'), PULLED);
    await until('two', ([first]) => first?.count === 1);
  });

  it('makes another event of another message', async () => {
    recorder.record(pod('three'), PULLED);
    recorder.record(pod('three'), { ...PULLED, message: 'image "b" is there' });
    await until('three', (events) => events.length === 2);
  });

  it('logs what is refused and goes on; of a namespace that ends nobody wants to hear', async () => {
    const metadata = { name: 'ending', finalizers: ['example.org/stay'] };
    await client.create(NAMESPACES, { apiVersion: 'v1', kind: 'Namespace', metadata });
    await client.delete(NAMESPACES, 'ending');
    recorder.record(pod('five', 'ending'), PULLED);
    recorder.record(pod('-six'), { ...PULLED, reason: 'Unnameable' });
    recorder.record(pod('seven'), PULLED);
    await until('seven', (events) => events.length === 1);
    expect(log.lines).to.have.length(1);
    expect(log.lines[0]).to.contain('an event was lost').and.contain('Unnameable');
  });
});
