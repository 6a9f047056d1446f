import { create } from '@bufbuild/protobuf';
import { expect } from 'chai';
import { beforeEach, describe, it } from 'mocha';

import { DeltaDiscoveryRequestSchema, type DeltaDiscoveryResponse } from '#api/gen/discovery_pb.ts';
import { decodeResponse, inShort, type Thing, thingSource } from '#tests/support/xds.ts';
import { ServerStream } from '#xds/server-stream.ts';

const POLICIES = 'type.googleapis.com/policy';
const PLACES = 'type.googleapis.com/place';

let policies: Map<string, Thing>;
let places: Map<string, Thing>;
let sent: DeltaDiscoveryResponse[];
let refused: string[];
let stale: string[];
let takes: boolean;
let stream: ServerStream;

function setUp(): void {
  policies = new Map();
  places = new Map();
  sent = [];
  refused = [];
  stale = [];
  takes = true;
  stream = new ServerStream({
    sources: [thingSource(POLICIES, policies), thingSource(PLACES, places)],
    send: (message) => {
      sent.push(decodeResponse(message));
      return takes;
    },
    now: () => 1_000,
    version: () => 'v',
    onRefused: (_type, message) => refused.push(message),
    onStale: (type) => stale.push(type),
  });
}

interface Request {
  subscribe?: string[];
  unsubscribe?: string[];
  known?: Record<string, string>;
  nonce?: string;
  error?: string;
}

function ask(typeUrl: string, request: Request = {}): void {
  stream.receive(
    create(DeltaDiscoveryRequestSchema, {
      typeUrl,
      resourceNamesSubscribe: request.subscribe ?? [],
      resourceNamesUnsubscribe: request.unsubscribe ?? [],
      initialResourceVersions: request.known ?? {},
      responseNonce: request.nonce ?? '',
      ...(request.error === undefined ? {} : { errorDetail: { message: request.error } }),
    }),
  );
}

/** What was sent since it was looked at last, each as `type: content`; acknowledged at once. */
function heard(acknowledge = true): string[] {
  const responses = sent;
  sent = [];
  for (const { typeUrl, nonce } of responses) if (acknowledge) ask(typeUrl, { nonce });
  return responses.map(
    (response) => `${response.typeUrl.slice(20)}: ${inShort(response).join(' ')}`,
  );
}

function push(more: { policies?: string[]; places?: string[] }): void {
  stream.push(
    new Map([
      [POLICIES, new Set(more.policies ?? [])],
      [PLACES, new Set(more.places ?? [])],
    ]),
  );
}

describe('ServerStream for a client that wants everything', () => {
  beforeEach(setUp);

  it('sends all there is, and an empty response when there is nothing', () => {
    places.set('a', { version: '1', aliases: ['alias'] });
    ask(PLACES);
    ask(POLICIES);
    expect(sent[0]?.resources[0]?.aliases).to.deep.equal([]);
    expect(sent[0]).to.include({ typeUrl: PLACES, systemVersionInfo: 'v' });
    expect(heard()).to.deep.equal(['place: +a@1', 'policy: ']);
  });

  it('sends the difference to what a client says it holds', () => {
    places.set('same', { version: '1' });
    places.set('newer', { version: '2' });
    places.set('unsure', { version: '1' });
    ask(PLACES, { known: { same: '1', newer: '1', unsure: '', gone: '1' } });
    expect(heard()).to.deep.equal(['place: +newer@2 +unsure@1 -gone']);
  });

  it('owes a response even when the client holds everything', () => {
    places.set('same', { version: '1' });
    ask(PLACES, { known: { same: '1' } });
    expect(heard()).to.deep.equal(['place: ']);
  });

  it('sends what has changed and what is gone, and nothing for an acceptance', () => {
    ask(PLACES);
    expect(heard()).to.deep.equal(['place: ']);
    places.set('a', { version: '1' });
    push({ places: ['a', 'b'] });
    expect(heard()).to.deep.equal(['place: +a@1 -b']);
    expect(heard()).to.deep.equal([]);
  });

  it('answers a name that is asked for besides, and says when there is none', () => {
    ask(PLACES);
    heard();
    places.set('a', { version: '1', aliases: ['/1'] });
    ask(PLACES, { subscribe: ['/1', 'nobody'] });
    expect(heard()).to.deep.equal(['place: +a@1 -nobody']);
  });

  it('ignores types that it does not have', () => {
    ask('type.googleapis.com/unknown');
    expect(sent).to.deep.equal([]);
  });
});

describe('ServerStream order of types', () => {
  beforeEach(setUp);

  it('sends policies before the places that refer to them, and removes them after', () => {
    ask(PLACES);
    ask(POLICIES);
    heard();
    policies.set('new', { version: '1' });
    places.set('a', { version: '2' });
    push({ policies: ['new', 'old'], places: ['a'] });
    expect(heard()).to.deep.equal(['policy: +new@1', 'place: +a@2', 'policy: -old']);
  });

  it('keeps a removal back for as long as the places wait', () => {
    ask(PLACES);
    ask(POLICIES);
    heard();
    takes = false;
    places.set('a', { version: '1' });
    push({ places: ['a'] });
    takes = true;
    places.set('a', { version: '2' });
    push({ policies: ['old'], places: ['a'] });
    expect(heard()).to.deep.equal(['place: +a@1']);
    stream.resume();
    expect(heard()).to.deep.equal(['place: +a@2', 'policy: -old']);
  });
});

describe('ServerStream verdicts', () => {
  beforeEach(setUp);

  it('notes an acceptance and a refusal with its reason', () => {
    ask(PLACES);
    ask(PLACES, { nonce: '1', error: 'a: bad' });
    expect(refused).to.deep.equal(['a: bad']);
    expect(stream.status()[0]).to.include({ sent: '1', acknowledged: '1', refusal: 'a: bad' });
    push({ places: ['x'] });
    ask(PLACES, { nonce: '2' });
    expect(stream.status()[0]).to.include({ acknowledged: '2', refusal: undefined });
  });

  it('keeps of a refusal what people read', () => {
    ask(PLACES);
    ask(PLACES, { nonce: '1', error: 'x'.repeat(1_000_000) });
    expect(stream.status()[0]?.refusal).to.have.length(4_096);
  });

  it('counts an answer to something that it never sent, and still hears what it asks for', () => {
    ask(PLACES);
    heard();
    places.set('a', { version: '1' });
    ask(PLACES, { nonce: '99', subscribe: ['a'] });
    expect(stale).to.deep.equal([PLACES]);
    expect(heard()).to.deep.equal(['place: +a@1']);
  });

  it('sends no more than 8 responses without an answer, then merges what changed meanwhile', () => {
    ask(PLACES);
    heard();
    for (let n = 1; n <= 20; n++) {
      places.set('a', { version: String(n) });
      push({ places: ['a'] });
    }
    expect(heard(false)).to.have.lengthOf(8);
    places.set('b', { version: '1' });
    push({ places: ['b'] });
    ask(PLACES, { nonce: '9' });
    expect(heard()).to.deep.equal(['place: +a@20 +b@1']);
  });

  it('sends nothing while the transport is full', () => {
    takes = false;
    ask(PLACES);
    places.set('a', { version: '1' });
    push({ places: ['a'] });
    expect(heard()).to.deep.equal(['place: ']);
    stream.resume();
    expect(heard()).to.deep.equal(['place: +a@1']);
  });
});

describe('ServerStream for a client that asks by name', () => {
  beforeEach(setUp);

  const onDemand = { subscribe: ['*'], unsubscribe: ['*'] };

  it('sends nothing but what the client is told without asking', () => {
    places.set('a', { version: '1' });
    ask(PLACES, onDemand);
    expect(heard()).to.deep.equal(['place: ']);
    places.set('local', { version: '1' });
    stream = new ServerStream({
      sources: [thingSource(PLACES, places)],
      send: (message) => sent.push(decodeResponse(message)) > 0,
      now: () => 0,
      version: () => '',
      onRefused: () => undefined,
      onStale: () => undefined,
    });
    ask(PLACES, onDemand);
    expect(heard()).to.deep.equal(['place: +local@1']);
  });

  it('tells what an address has got meanwhile, with its parts, in whatever order they are pushed', () => {
    ask(PLACES, onDemand);
    ask(PLACES, { subscribe: ['/1.1.1.1'] });
    expect(heard()).to.deep.equal(['place: ', 'place: -/1.1.1.1']);
    places.set('pod', { version: '1' });
    places.set('other', { version: '1' });
    places.set('service', { version: '1', aliases: ['/1.1.1.1'], parts: ['pod'] });
    push({ places: ['pod', 'other', 'service'] });
    expect(heard()).to.deep.equal(['place: +service@1 +pod@1']);
  });

  it('answers a name or an alias with aliases and what belongs to it, and a name of nothing as removed', () => {
    places.set('service', { version: '1', aliases: ['/1.1.1.1'], parts: ['pod'] });
    places.set('pod', { version: '1' });
    ask(PLACES, onDemand);
    heard();
    ask(PLACES, { subscribe: ['/1.1.1.1', '/9.9.9.9'] });
    expect(sent[0]?.resources[0]?.aliases).to.deep.equal(['/1.1.1.1']);
    expect(heard()).to.deep.equal(['place: +service@1 +pod@1 -/9.9.9.9']);
  });

  it('sends changes of what it has sent, and of what an asked alias stands for since', () => {
    places.set('a', { version: '1' });
    places.set('b', { version: '1' });
    ask(PLACES, { ...onDemand, subscribe: ['*', 'a', '/2.2.2.2'] });
    expect(heard()).to.deep.equal(['place: +a@1 -/2.2.2.2']);
    push({ places: ['b'] });
    expect(heard()).to.deep.equal([]);
    places.set('c', { version: '1', aliases: ['/2.2.2.2'] });
    push({ places: ['c'] });
    places.delete('c');
    places.delete('a');
    expect(heard()).to.deep.equal(['place: +c@1']);
    push({ places: ['a', 'c'] });
    expect(heard()).to.deep.equal(['place: -a -c']);
  });

  it('sends no more of what is unsubscribed', () => {
    places.set('a', { version: '1' });
    ask(PLACES, { ...onDemand, subscribe: ['*', 'a'] });
    heard();
    ask(PLACES, { unsubscribe: ['a'] });
    push({ places: ['a'] });
    expect(heard()).to.deep.equal([]);
  });

  it('sends on reconnection what has changed of what the client holds', () => {
    places.set('a', { version: '2' });
    places.set('b', { version: '1' });
    places.set('unasked', { version: '1' });
    ask(PLACES, { ...onDemand, known: { a: '1', b: '1', gone: '1' } });
    expect(heard()).to.deep.equal(['place: +a@2 -gone']);
    push({ places: ['b'] });
    expect(heard()).to.deep.equal(['place: +b@1']);
  });

  it('ends a client that asks for more names than any node could need', () => {
    const names = Array.from({ length: 200_001 }, (_, n) => `n${n}`);
    const request = create(DeltaDiscoveryRequestSchema, {
      typeUrl: PLACES,
      resourceNamesSubscribe: names,
    });
    expect(stream.receive(request)?.kind).to.equal('resource-exhausted');
  });
});
