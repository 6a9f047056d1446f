import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';

import { create } from '@bufbuild/protobuf';
import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';

import {
  AggregatedDiscoveryService,
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
} from '#api/gen/discovery_pb.ts';
import { Channel, type MessageStream } from '#common/grpc/channel.ts';
import { GrpcServer } from '#common/grpc/server.ts';
import { TestAuthority } from '#tests/support/tls-material.ts';
import { Watcher } from '#tests/support/watcher.ts';
import { encodeResponse } from '#xds/resource.ts';

const method = AggregatedDiscoveryService.method.deltaAggregatedResources;
const authority = new TestAuthority();

function say(stream: MessageStream<DeltaDiscoveryRequest>, bytes: number): void {
  const request = create(DeltaDiscoveryRequestSchema, { typeUrl: 'x'.repeat(bytes) });
  stream.send(request);
}

describe('GrpcServer', () => {
  let watcher: Watcher;
  let grpc: GrpcServer;
  let address: string;
  let channel: Channel;
  /** Names of clients, as their messages came. */
  let heard: string[];
  let admit: () => void;

  beforeEach(async () => {
    watcher = new Watcher();
    heard = [];
    const { promise: admission, resolve } = Promise.withResolvers<void>();
    admit = resolve;
    grpc = new GrpcServer({ receivedMessageBytesMax: 4_000_000, connectionAgeMs: 600_000 });
    grpc.addStreaming(method, (context, outlet) => {
      const name = context.header('name') ?? '';
      return {
        ...(name === 'stranger' ? { admission } : {}),
        onMessage: () => {
          heard.push(name);
          watcher.look();
          const rest = { typeUrl: 'a', systemVersionInfo: '', removed: [], resources: [] };
          outlet.write(encodeResponse({ ...rest, nonce: String(heard.length) }));
        },
        onDrained: () => undefined,
        onClosed: () => undefined,
      };
    });
    const { chainPem, privateKeyPem } = authority.issue({ names: { dns: ['desk.example'] } });
    const port = await grpc.listen('127.0.0.1', 0, { chainPem: chainPem.join(''), privateKeyPem });
    address = `https://127.0.0.1:${port}`;
    channel = new Channel({
      address,
      rootsPem: authority.rootPem,
      alternativeHostname: 'desk.example',
      receivedMessageBytesMax: 1_000,
    });
  });
  afterEach(async () => {
    channel[Symbol.dispose]();
    await grpc.close(0);
  });

  function open(
    name: string,
    onMessage: () => void = () => undefined,
  ): MessageStream<DeltaDiscoveryRequest> {
    const handler = { onMessage, onEnd: () => undefined };
    return channel.stream(method, new Map([['name', name]]), handler);
  }

  it('reads nothing of a stream before it is admitted, and all of it in order from then on', async () => {
    const stranger = open('stranger');
    for (let count = 0; count < 20; count++) say(stranger, 1_000_000);
    // Answered over the same connection: whatever the server takes of the stranger's it has by then.
    const friend = open('friend', () => watcher.look());
    for (let round = 1; round <= 5; round++) {
      say(friend, 1);
      await watcher.until(() => heard.length === round);
    }
    expect(heard).to.not.include('stranger');
    admit();
    await watcher.until(() => heard.length === 25);
    stranger.cancel();
    friend.cancel();
  });

  it('lets one connection have so many streams, and no more', async () => {
    const session = connectHttp2(address, { ca: authority.rootPem, servername: 'desk.example' });
    try {
      const [settings] = (await once(session, 'remoteSettings')) as [
        { maxConcurrentStreams: number },
      ];
      expect(settings.maxConcurrentStreams).to.equal(256);
    } finally {
      session.destroy();
    }
  });
});
