import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { status as Status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { beforeEach, describe, it } from 'mocha';

import {
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
} from '#api/gen/discovery_pb.ts';
import type { CallContext, Refusal, StreamInlet } from '#common/grpc/server.ts';
import { PushQueue } from '#istiod/push/queue.ts';
import { DiscoveryCounters } from '#istiod/serve/counters.ts';
import { DiscoveryService } from '#istiod/serve/discovery.ts';
import { ADDRESS_TYPE, AUTHORIZATION_TYPE } from '#istiod/serve/generators.ts';
import type { TokenVerdict } from '#kube/token-review.ts';
import { type MeshWorld, meshWorld, podRecord } from '#tests/support/control-plane.ts';
import { logLines } from '#tests/support/log-lines.ts';
import { decodeResponse } from '#tests/support/xds.ts';

const TUNNEL: TokenVerdict = {
  kind: 'authenticated',
  user: {
    username: 'system:serviceaccount:istio-system:ztunnel',
    uid: '',
    groups: ['system:serviceaccounts'],
    serviceAccount: { namespace: 'istio-system', name: 'ztunnel' },
  },
};
const NODE_ID = 'ztunnel~1.1.1.1~ztunnel-a.istio-system~istio-system.svc.cluster.local';

/** One client's stream, played by the test. */
class Conversation {
  readonly responses: DeltaDiscoveryResponse[] = [];
  refusal: Refusal | undefined;
  ended = false;
  readonly #inlet: StreamInlet<DeltaDiscoveryRequest>;

  constructor(service: DiscoveryService, token = 'token') {
    const context: CallContext = {
      peer: '10.0.0.9:1',
      header: (name) => (name === 'authorization' ? `Bearer ${token}` : undefined),
    };
    this.#inlet = service.serve(context, {
      write: (message) => {
        this.responses.push(decodeResponse(message));
        return true;
      },
      end: (refusal) => {
        this.refusal = refusal;
        this.ended = true;
        this.close();
      },
    });
  }

  say(request: MessageInitShape<typeof DeltaDiscoveryRequestSchema>): void {
    // As the transport does it.
    const message = create(DeltaDiscoveryRequestSchema, request);
    void this.#inlet.admission?.then(() => this.#inlet.onMessage(message));
  }

  /** Asks for everything of a type, as a node proxy that starts. */
  begin(typeUrl: string, node: { id?: string; metadata?: Record<string, string> } = {}): void {
    const { id = NODE_ID, metadata = { NODE_NAME: 'node-a' } } = node;
    this.say({ typeUrl, node: { id, metadata } });
  }

  close(): void {
    this.#inlet.onClosed();
  }
}

async function settle(): Promise<void> {
  await new Promise((resolve) => {
    setImmediate(resolve);
  });
}

describe('DiscoveryService', () => {
  let world: MeshWorld;
  let verdict: () => Promise<TokenVerdict>;
  let service: DiscoveryService;
  let lines: readonly string[];

  beforeEach(() => {
    world = meshWorld();
    world.inputs.pods.set(podRecord('till'));
    verdict = () => Promise.resolve(TUNNEL);
    const logged = logLines();
    ({ lines } = logged);
    service = new DiscoveryService({
      mesh: world.mesh,
      review: () => verdict(),
      queue: new PushQueue({ elapsed: () => 0, later: (run) => run(), onTold: () => undefined }),
      counters: new DiscoveryCounters(),
      now: () => 0,
      log: logged.log,
    });
  });

  it('answers each type, even when there is nothing of it', async () => {
    const talk = new Conversation(service);
    talk.begin(ADDRESS_TYPE);
    talk.say({ typeUrl: AUTHORIZATION_TYPE });
    await settle();
    expect(
      talk.responses.map(({ typeUrl, resources }) => [typeUrl, resources.length]),
    ).to.deep.equal([
      [ADDRESS_TYPE, 1],
      [AUTHORIZATION_TYPE, 0],
    ]);
    expect([...service.clients].map(({ description }) => description)).to.deep.equal([
      {
        type: 'ztunnel',
        name: 'ztunnel-a.istio-system',
        clusterId: '',
        version: '',
        node: 'node-a',
        waypoint: undefined,
        peer: '10.0.0.9:1',
      },
    ]);
  });

  it('says nothing before the token is reviewed, then answers what was asked meanwhile', async () => {
    const review = Promise.withResolvers<TokenVerdict>();
    verdict = () => review.promise;
    const talk = new Conversation(service);
    talk.begin(ADDRESS_TYPE);
    await settle();
    expect(talk.responses).to.deep.equal([]);
    expect(service.clients.size).to.equal(0);
    review.resolve(TUNNEL);
    await settle();
    expect(talk.responses).to.have.length(1);
  });

  it('sends whoever has no good token away, and never shows the token', async () => {
    verdict = () => Promise.resolve({ kind: 'refused', reason: 'expired' });
    const talk = new Conversation(service, 'very-secret');
    talk.begin(ADDRESS_TYPE);
    await settle();
    expect(talk.refusal).to.deep.equal({
      status: Status.UNAUTHENTICATED,
      details: 'authentication failure: expired',
    });
    expect(talk.responses).to.deep.equal([]);
    expect(lines.join('\n')).not.to.contain('very-secret');
  });

  it('has clients come again when nobody can be asked about tokens', async () => {
    verdict = () => Promise.reject(new Error('no route'));
    const talk = new Conversation(service);
    talk.begin(ADDRESS_TYPE);
    await settle();
    expect(talk.refusal?.status).to.equal(Status.UNAVAILABLE);
  });

  for (const [what, node, status] of [
    ['has no name', { id: '' }, Status.INVALID_ARGUMENT],
    ['is of another namespace', { id: 'ztunnel~1~z.shop~d' }, Status.PERMISSION_DENIED],
    ['names another account', { metadata: { SERVICE_ACCOUNT: 'admin' } }, Status.PERMISSION_DENIED],
  ] as const) {
    it(`refuses a client that ${what}`, async () => {
      const talk = new Conversation(service);
      talk.begin(ADDRESS_TYPE, node);
      await settle();
      expect(talk.refusal?.status).to.equal(status);
      expect(service.clients.size).to.equal(0);
    });
  }

  it('tells its clients of changes, and forgets those who have gone', async () => {
    const [one, two] = [new Conversation(service), new Conversation(service)];
    one.begin(ADDRESS_TYPE);
    two.begin(ADDRESS_TYPE);
    await settle();
    world.inputs.pods.delete('shop/till');
    two.close();
    service.changed(new Map([[ADDRESS_TYPE, new Set(['Kubernetes//Pod/shop/till'])]]), 0);
    expect(one.responses.at(-1)?.removedResources).to.deep.equal(['Kubernetes//Pod/shop/till']);
    expect(two.responses).to.have.length(1);
    expect(service.clients.size).to.equal(1);
  });

  it('ends all streams when it stops, also those that are not known yet', async () => {
    const [one, two] = [new Conversation(service), new Conversation(service)];
    one.begin(ADDRESS_TYPE);
    await settle();
    service.endAll();
    expect([one.ended, one.refusal, two.ended]).to.deep.equal([true, undefined, true]);
    expect(service.clients.size).to.equal(0);
  });

  it('ignores a type that it does not have', async () => {
    const talk = new Conversation(service);
    talk.begin('type.googleapis.com/envoy.config.cluster.v3.Cluster');
    await settle();
    expect(talk.ended).to.equal(false);
    expect(talk.responses).to.deep.equal([]);
  });
});
