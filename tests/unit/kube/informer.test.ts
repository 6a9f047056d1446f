import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';

import { KubeClient } from '#kube/client.ts';
import { Informer, type InformerOptions } from '#kube/informer.ts';
import { CONFIG_MAPS, type ConfigMap } from '#kube/resources.ts';
import { ManualClock } from '#tests/support/manual-clock.ts';
import { failure, ScriptedApiServer } from '#tests/support/scripted-api-server.ts';

/** Writes down what it is told, and lets the test wait for it. */
class Diary {
  readonly lines: string[] = [];
  readonly #waiting: (() => void)[] = [];

  added(object: ConfigMap): void {
    this.#write(`+${named(object)}`);
  }

  changed(object: ConfigMap, before: ConfigMap): void {
    this.#write(`~${named(object)}<${before.metadata.resourceVersion}`);
  }

  removed(object: ConfigMap): void {
    this.#write(`-${named(object)}`);
  }

  async until(line: string): Promise<void> {
    while (!this.lines.includes(line)) {
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
      });
    }
  }

  #write(line: string): void {
    this.lines.push(line);
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

function named({ metadata }: ConfigMap): string {
  return `${metadata.name}@${metadata.resourceVersion}`;
}

function map(name: string, resourceVersion: string, uid = `uid-of-${name}`): ConfigMap {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, namespace: 'shop', uid, resourceVersion },
  };
}

describe('Informer', () => {
  let server: ScriptedApiServer;
  let client: KubeClient;
  /** Of the informer's retries. */
  let clock: ManualClock;
  /** Of the client's patience with a silent watch. */
  let patience: ManualClock;
  let diary: Diary;
  let informer: Informer<ConfigMap>;

  beforeEach(async () => {
    server = await ScriptedApiServer.start();
    clock = new ManualClock();
    patience = new ManualClock();
    client = new KubeClient(server.credentials, { clock: patience, random: () => 0 });
    diary = new Diary();
  });

  afterEach(async () => {
    informer.stop();
    client.close();
    expect(server.unanswered, 'requests that the test did not expect').to.equal(0);
    await server[Symbol.asyncDispose]();
  });

  function start(options: Partial<InformerOptions<ConfigMap>> = {}): void {
    informer = new Informer(client, CONFIG_MAPS, { clock, random: () => 0.5, ...options });
    informer.on(diary);
    informer.start();
  }

  /** Lists one object at version 10 and opens the watch from there. */
  async function watching(): Promise<Awaited<ReturnType<ScriptedApiServer['next']>>> {
    start();
    (await server.next()).list('10', [map('a', '5')]);
    const watch = await server.next();
    expect(watch.query.get('resourceVersion')).to.equal('10');
    return watch.open();
  }

  /** Sets the clock to the next attempt, and answers how long that was. */
  async function waitForRetry(): Promise<number> {
    while (clock.pending === 0) await new Promise(setImmediate);
    const delayMs = clock.nextDueMs! - clock.now();
    await clock.advance(delayMs);
    return delayMs;
  }

  it('tells of the list, then of the changes', async () => {
    const watch = await watching();
    await informer.synced;
    watch.event('ADDED', map('b', '11')).event('MODIFIED', map('a', '12'));
    watch.event('DELETED', map('b', '13'));
    await diary.until('-b@13');
    expect(diary.lines).to.deep.equal(['+a@5', '+b@11', '~a@12<5', '-b@13']);
    expect(informer.list().map(named)).to.deep.equal(['a@12']);
    expect(informer.get('shop/a')).to.deep.equal(map('a', '12'));
  });

  it('goes on from the last event when the server ends the watch', async () => {
    const watch = await watching();
    watch.event('ADDED', map('b', '11'));
    await diary.until('+b@11');
    await clock.advance(300_000);
    watch.end();
    const again = await server.next();
    expect(again.isWatch).to.equal(true);
    expect(again.query.get('resourceVersion')).to.equal('11');
  });

  it('loses nothing and says nothing twice when the connection is cut in the middle of an event', async () => {
    const watch = await watching();
    watch.event('ADDED', map('b', '11'));
    watch.raw(JSON.stringify({ type: 'ADDED', object: map('c', '12') }).slice(0, -1)).cut();
    const delayMs = await waitForRetry();
    expect(delayMs).to.be.within(1_000, 1_500);
    const again = await server.next();
    expect(again.query.get('resourceVersion')).to.equal('11');
    again.open().event('ADDED', map('b', '11')).event('ADDED', map('c', '12'));
    await diary.until('+c@12');
    expect(diary.lines).to.deep.equal(['+a@5', '+b@11', '+c@12']);
  });

  for (const how of ['answer', 'event'] as const) {
    it(`lists again when the version has expired, told by an ${how}`, async () => {
      let watch = await watching();
      if (how === 'answer') {
        await clock.advance(300_000);
        watch.end();
        watch = await server.next();
        watch.refuse(410, 'Expired');
      } else {
        watch.event('ERROR', failure(410, 'Expired'));
      }
      const list = await server.next();
      expect(list.isWatch).to.equal(false);
      expect(list.query.get('resourceVersion')).to.equal(null);
      list.list('20', [map('b', '15')]);
      const again = await server.next();
      expect(again.query.get('resourceVersion')).to.equal('20');
      expect(diary.lines).to.deep.equal(['+a@5', '-a@5', '+b@15']);
    });
  }

  it('tells that an object is gone that was deleted between the list and the watch', async () => {
    start();
    (await server.next()).list('10', [map('a', '5'), map('b', '6')]);
    (await server.next()).refuse(410, 'Expired');
    (await server.next()).list('20', [map('b', '6')]);
    await server.next();
    expect(diary.lines).to.deep.equal(['+a@5', '+b@6', '-a@5']);
  });

  it('takes an object with the name of another one for another one', async () => {
    const watch = await watching();
    watch.event('MODIFIED', map('a', '11', 'another uid'));
    await diary.until('+a@11');
    expect(diary.lines).to.deep.equal(['+a@5', '-a@5', '+a@11']);
  });

  it('waits longer after each failure, up to 30 s', async () => {
    start({ random: () => 1 });
    const delays: number[] = [];
    for (let failures = 0; failures < 7; failures += 1) {
      (await server.next()).refuse(500, 'InternalError');
      delays.push(Math.round((await waitForRetry()) / 100) / 10);
    }
    expect(delays).to.deep.equal([1.5, 3, 6, 12, 24, 30, 30]);
    await server.next();
  });

  it('begins anew when the server has lost its past', async () => {
    const watch = await watching();
    watch.cut();
    await waitForRetry();
    const tooLarge = {
      ...(failure(504, 'Timeout', 'Too large resource version') as object),
      details: { causes: [{ reason: 'ResourceVersionTooLarge' }] },
    };
    (await server.next()).answer(504, tooLarge);
    await waitForRetry();
    (await server.next()).list('2', []);
    await diary.until('-a@5');
    await server.next();
  });

  it('keeps its version while the server asks for patience', async () => {
    const watch = await watching();
    watch.cut();
    await waitForRetry();
    (await server.next()).refuse(429, 'TooManyRequests');
    await waitForRetry();
    const again = await server.next();
    expect(again.isWatch).to.equal(true);
    expect(again.query.get('resourceVersion')).to.equal('10');
  });

  it('restarts a watch on which no byte has come for its time and a margin', async () => {
    const watch = await watching();
    watch.event('ADDED', map('b', '11'));
    await diary.until('+b@11');
    expect(watch.query.get('timeoutSeconds')).to.equal('300');
    await patience.advance(329_999);
    expect(patience.pending).to.equal(1);
    await patience.advance(1);
    await watch.closed();
    await waitForRetry();
    await server.next();
  });

  it('goes on from a bookmark', async () => {
    const watch = await watching();
    watch.bookmark('40').event('ADDED', map('b', '41')).bookmark('50');
    await diary.until('+b@41');
    watch.cut();
    await waitForRetry();
    expect((await server.next()).query.get('resourceVersion')).to.equal('50');
  });

  it('does not hammer a server that ends every watch at once', async () => {
    const watch = await watching();
    watch.end();
    expect(await waitForRetry()).to.be.within(1_000, 1_500);
    (await server.next()).open().end();
    expect(await waitForRetry()).to.be.within(2_000, 3_000);
    await server.next();
  });

  it('takes the first objects from the watch when asked to', async () => {
    start({ streamInitialList: true });
    const watch = await server.next();
    expect(watch.query.get('sendInitialEvents')).to.equal('true');
    expect(watch.query.get('resourceVersionMatch')).to.equal('NotOlderThan');
    watch.open().event('ADDED', map('a', '5'));
    await clock.advance(0);
    expect(informer.isSynced).to.equal(false);
    watch.bookmark('10', { 'k8s.io/initial-events-end': 'true' }).event('ADDED', map('b', '11'));
    await diary.until('+b@11');
    expect(diary.lines).to.deep.equal(['+a@5', '+b@11']);
    expect(informer.isSynced).to.equal(true);
  });

  it('lists when the server cannot send the first objects in the watch', async () => {
    start({ streamInitialList: true });
    (await server.next()).refuse(422, 'Invalid', 'sendInitialEvents is forbidden');
    const list = await server.next();
    expect(list.isWatch).to.equal(false);
    list.list('10', [map('a', '5')]);
    await informer.synced;
    await server.next();
  });

  it('tells a late handler what is there', async () => {
    await watching();
    await informer.synced;
    const late = new Diary();
    informer.on(late);
    expect(late.lines).to.deep.equal(['+a@5']);
  });

  it('keeps what transform() makes of an object', async () => {
    start({ transform: (object) => ({ ...object, data: { kept: 'yes' } }) });
    (await server.next()).list('10', [map('a', '5')]);
    await informer.synced;
    expect(informer.get('shop/a')?.data).to.deep.equal({ kept: 'yes' });
    await server.next();
  });

  it('knows at once what the caller has written, and says it once', async () => {
    const watch = await watching();
    await informer.synced;
    informer.observe(map('b', '12'));
    expect(diary.lines).to.deep.equal(['+a@5', '+b@12']);
    watch.event('ADDED', map('b', '11')).event('MODIFIED', map('b', '12'));
    watch.event('DELETED', map('b', '13'));
    await diary.until('-b@13');
    expect(diary.lines).to.deep.equal(['+a@5', '+b@12', '-b@13']);
  });

  it('does not bring back what is gone when a late answer speaks of it', async () => {
    const watch = await watching();
    watch.event('ADDED', map('b', '11')).event('DELETED', map('b', '12'));
    await diary.until('-b@12');
    informer.observe(map('b', '11'));
    expect(informer.get('shop/b')).to.equal(undefined);
  });

  it('ends its watch and calls nobody any more when it is stopped', async () => {
    const watch = await watching();
    informer.stop();
    await watch.closed();
    expect(diary.lines).to.deep.equal(['+a@5']);
    expect(clock.pending + patience.pending).to.equal(0);
  });
});
