import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';

import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';

import { AggregatedDiscoveryService } from '#api/gen/discovery_pb.ts';
import { systemClock } from '#common/clock.ts';
import { type CallContext, GrpcServer, type StreamOutlet } from '#common/grpc/server.ts';
import { TestAuthority } from '#tests/support/tls-material.ts';
import { Watcher } from '#tests/support/watcher.ts';
import { type Thing, thingSource } from '#tests/support/xds.ts';
import { type Rejection, XdsClient, type XdsClientEvent } from '#xds/client.ts';
import { ServerStream } from '#xds/server-stream.ts';

const PLACES = 'type.googleapis.com/place';

/** A server on loopback whose resources are in a map. */
class Desk {
  readonly things = new Map<string, Thing>();
  readonly streams = new Map<ServerStream, StreamOutlet>();
  readonly contexts: CallContext[] = [];
  readonly nodes: string[] = [];
  readonly known: Record<string, string>[] = [];
  readonly refusals: string[] = [];
  readonly grpc = new GrpcServer({ receivedMessageBytesMax: 4_000_000, connectionAgeMs: 600_000 });
  readonly watcher: Watcher;
  port = 0;

  constructor(watcher: Watcher) {
    this.watcher = watcher;
    const method = AggregatedDiscoveryService.method.deltaAggregatedResources;
    this.grpc.addStreaming(method, (context, outlet) => {
      this.contexts.push(context);
      const stream = new ServerStream({
        sources: [thingSource(PLACES, this.things)],
        send: (message) => outlet.write(message),
        now: Date.now,
        version: () => '1',
        onRefused: (_type, message) => this.refusals.push(message),
        onStale: () => this.refusals.push('stale'),
      });
      this.streams.set(stream, outlet);
      return {
        onMessage: (request) => {
          if (request.node !== undefined) this.nodes.push(request.node.id);
          if (request.responseNonce === '') this.known.push(request.initialResourceVersions);
          stream.receive(request);
          this.watcher.look();
        },
        onDrained: () => stream.resume(),
        onClosed: () => {
          this.streams.delete(stream);
          this.watcher.look();
        },
      };
    });
  }

  async open(authority: TestAuthority, port = 0): Promise<string> {
    const { chainPem, privateKeyPem } = authority.issue({ names: { dns: ['desk.example'] } });
    this.port = await this.grpc.listen('127.0.0.1', port, {
      chainPem: chainPem.join(''),
      privateKeyPem,
    });
    return `https://127.0.0.1:${this.port}`;
  }

  push(...names: string[]): void {
    for (const stream of this.streams.keys()) stream.push(new Map([[PLACES, new Set(names)]]));
  }

  acknowledged(): boolean {
    const statuses = [...this.streams.keys()].flatMap((stream) => stream.status());
    return statuses.length > 0 && statuses.every(({ sent, acknowledged }) => sent === acknowledged);
  }
}

describe('XdsClient and ServerStream over TLS', () => {
  const authority = new TestAuthority();
  let watcher: Watcher;
  let desk: Desk;
  let held: Map<string, string>;
  let events: XdsClientEvent[];
  let client: XdsClient | undefined;
  let reject: (name: string) => string | undefined;

  beforeEach(() => {
    watcher = new Watcher();
    desk = new Desk(watcher);
    held = new Map();
    events = [];
    reject = () => undefined;
  });
  afterEach(async () => {
    client?.[Symbol.dispose]();
    await desk.grpc.close(0);
  });

  function connect(address: string, mode: 'wildcard' | 'on-demand' = 'wildcard'): XdsClient {
    client = new XdsClient({
      address,
      roots: { kind: 'inline', text: authority.rootPem },
      alternativeHostname: 'desk.example',
      token: { kind: 'inline', text: 'the-token\n' },
      headers: new Map([['clusterid', 'Kubernetes']]),
      node: { id: 'ztunnel~1.1.1.1~z.ns~ns', metadata: { NODE_NAME: 'node-a' } },
      types: [
        {
          typeUrl: PLACES,
          mode,
          apply: (resources, removed) => {
            const rejections: Rejection[] = [];
            for (const { name, bytes } of resources) {
              const reason = reject(name);
              if (reason === undefined) held.set(name, Buffer.from(bytes).toString());
              else rejections.push({ name, reason });
            }
            for (const name of removed) held.delete(name);
            return rejections;
          },
        },
      ],
      clock: systemClock,
      random: () => 0.5,
      onEvent: (event) => {
        events.push(event);
        watcher.look();
      },
    });
    client.start();
    return client;
  }

  const applied = () => events.filter(({ kind }) => kind === 'applied').length;

  it('brings over what there is, and each change, and says who it is', async () => {
    desk.things.set('a', { version: '1' });
    connect(await desk.open(authority));
    await watcher.until(() => applied() === 1 && desk.acknowledged());
    expect([...held.values()]).to.deep.equal(['a@1']);
    expect(desk.nodes).to.deep.equal(['ztunnel~1.1.1.1~z.ns~ns']);
    expect(desk.contexts[0]?.header('authorization')).to.equal('Bearer the-token');
    expect(desk.contexts[0]?.header('clusterid')).to.equal('Kubernetes');
    desk.things.set('b', { version: '1' });
    desk.things.delete('a');
    desk.push('a', 'b');
    await watcher.until(() => applied() === 2 && desk.acknowledged());
    expect([...held.values()]).to.deep.equal(['b@1']);
  });

  it('refuses by name what it cannot use, applies the rest, and does not claim to hold it', async () => {
    reject = (name) => (name === 'bad' ? 'no sense in it' : undefined);
    desk.things.set('bad', { version: '1' });
    desk.things.set('good', { version: '1' });
    connect(await desk.open(authority));
    await watcher.until(() => desk.acknowledged());
    expect(desk.refusals).to.deep.equal(['bad: no sense in it']);
    expect([...held.keys()]).to.deep.equal(['good']);
    for (const outlet of desk.streams.values()) outlet.end();
    await watcher.until(() => desk.known.length === 2);
    expect(desk.known[1]).to.deep.equal({ good: '1' });
  });

  it('comes back after the server has gone, keeps what it has meanwhile, and gets only the difference', async () => {
    desk.things.set('same', { version: '1' });
    desk.things.set('old', { version: '1' });
    connect(await desk.open(authority));
    await watcher.until(() => applied() === 1 && desk.acknowledged());
    await desk.grpc.close(0);
    await watcher.until(() => events.some(({ kind }) => kind === 'disconnected'));
    expect([...held.keys()]).to.deep.equal(['same', 'old']);
    const { port } = desk;
    desk = new Desk(watcher);
    desk.things.set('same', { version: '1' });
    desk.things.set('new', { version: '1' });
    await desk.open(authority, port);
    await watcher.until(() => applied() === 2 && desk.acknowledged());
    expect([...held.keys()].toSorted()).to.deep.equal(['new', 'same']);
    expect(desk.known[0]).to.deep.equal({ same: '1', old: '1' });
  });

  it('asks for names on demand, and again for all of them on the next connection', async () => {
    desk.things.set('service', { version: '1', aliases: ['/1.1.1.1'] });
    desk.things.set('other', { version: '1' });
    const opened = connect(await desk.open(authority), 'on-demand');
    await watcher.until(() => applied() === 1);
    expect(held.size).to.equal(0);
    opened.demand(PLACES, ['/1.1.1.1', '/9.9.9.9']);
    await watcher.until(() => applied() === 2);
    expect([...held.keys()]).to.deep.equal(['service']);
    for (const outlet of desk.streams.values()) outlet.end();
    await watcher.until(() => applied() === 3);
    desk.things.set('late', { version: '1', aliases: ['/9.9.9.9'] });
    desk.push('late');
    await watcher.until(() => held.has('late'));
  });

  it('does not talk to a server whose certificate another authority has signed', async () => {
    connect(await desk.open(new TestAuthority('Somebody else')));
    await watcher.until(() => events.filter(({ kind }) => kind === 'disconnected').length > 1);
    expect(desk.contexts).to.deep.equal([]);
  });

  it('waits longer after each failure, up to 15 s', async () => {
    const nobody = createServer().listen(0, '127.0.0.1');
    await once(nobody, 'listening');
    const { port } = nobody.address() as AddressInfo;
    nobody.close();
    connect(`https://127.0.0.1:${port}`);
    await watcher.until(() => waits(events).length === 4);
    expect(waits(events)).to.deep.equal([10, 20, 40, 80]);
  });
});

function waits(events: readonly XdsClientEvent[]): readonly number[] {
  return events.flatMap((event) => (event.kind === 'disconnected' ? [event.retryMs] : []));
}
