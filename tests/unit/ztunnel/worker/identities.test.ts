import { expect } from 'chai';
import { after, beforeEach, describe, it } from 'mocha';

import { TimerWheel } from '#reactor/timers.ts';
import type { TlsContext } from '#reactor/tls/context.ts';
import { TestAuthority } from '#tests/support/tls-material.ts';
import { Identities } from '#ztunnel/worker/identities.ts';

const APP = 'spiffe://cluster.local/ns/default/sa/app';
const WAIT_MS = 10_000;
const RETIRED_MS = 15_000;

class Waiter {
  readonly told: (TlsContext | string)[] = [];

  onIdentityReady(context: TlsContext): void {
    this.told.push(context);
  }

  onIdentityFailed(reason: string): void {
    this.told.push(reason);
  }

  onFault(error: unknown): void {
    this.told.push(String(error));
  }
}

class BadWaiter extends Waiter {
  override onIdentityReady(): void {
    throw new Error('a bug');
  }

  override onIdentityFailed(): void {
    throw new Error('a bug');
  }
}

describe('Identities', () => {
  const authority = new TestAuthority();
  const material = authority.issue();
  const bad = { ...material, chainPem: ['no certificate'] };
  after(() => authority.dispose());

  let loop: { readonly timers: TimerWheel; nowMs: number };
  let wanted: string[];
  let identities: Identities;
  let waiter: Waiter;

  beforeEach(() => {
    loop = { timers: new TimerWheel(0), nowMs: 0 };
    wanted = [];
    identities = new Identities(loop, (identity) => wanted.push(identity));
    waiter = new Waiter();
  });

  function pass(ms: number): void {
    loop.nowMs += ms;
    loop.timers.advance(loop.nowMs, (timer, error) => {
      if (timer.onFault === undefined) throw error;
      timer.onFault(error);
    });
  }

  it('whenReady() answers at once when there is a certificate', () => {
    expect(identities.update(APP, { kind: 'available', material })).to.equal(undefined);
    identities.whenReady(APP, waiter);
    expect(waiter.told).to.deep.equal([identities.ready(APP)]);
    expect(wanted).to.deep.equal([]);
  });

  it('whenReady() waits for the first certificate, and asks for it once a second', () => {
    const second = new Waiter();
    identities.whenReady(APP, waiter);
    identities.whenReady(APP, second);
    expect(wanted).to.deep.equal([APP]);
    expect([...waiter.told, ...second.told]).to.deep.equal([]);
    pass(1_000);
    identities.whenReady(APP, new Waiter());
    expect(wanted).to.deep.equal([APP, APP]);
    identities.update(APP, { kind: 'available', material });
    const context = identities.ready(APP);
    expect([waiter.told, second.told]).to.deep.equal([[context], [context]]);
    pass(WAIT_MS + 100);
    expect(waiter.told).to.have.length(1);
  });

  it('whenReady() fails when no certificate comes in time', () => {
    identities.whenReady(APP, waiter);
    pass(WAIT_MS + 100);
    expect(waiter.told).to.deep.equal([
      `identity error: no certificate for "${APP}": the certificate authority has not answered for 10 s`,
    ]);
  });

  it('cancel() takes a waiter back', () => {
    identities.whenReady(APP, waiter);
    identities.cancel(APP, waiter);
    identities.update(APP, { kind: 'available', material });
    pass(WAIT_MS + 100);
    expect(waiter.told).to.deep.equal([]);
  });

  it('update() to unavailable fails those who wait and those who come, until there is one', () => {
    const late = new Waiter();
    identities.whenReady(APP, waiter);
    identities.update(APP, { kind: 'unavailable', reason: 'refused' });
    identities.whenReady(APP, late);
    const reason = `identity error: no certificate for "${APP}": refused`;
    expect([waiter.told, late.told]).to.deep.equal([[reason], [reason]]);
    identities.update(APP, { kind: 'available', material });
    expect(identities.ready(APP)).not.to.equal(undefined);
  });

  it('update() to forgotten leaves nothing to use, and lets those who wait go on waiting', () => {
    identities.update(APP, { kind: 'available', material });
    identities.update(APP, { kind: 'forgotten' });
    expect(identities.ready(APP)).to.equal(undefined);
    identities.whenReady(APP, waiter);
    identities.update(APP, { kind: 'forgotten' });
    identities.update(APP, { kind: 'available', material });
    expect(waiter.told).to.deep.equal([identities.ready(APP)]);
  });

  it('update() frees the certificate before only when its handshakes are over', () => {
    identities.update(APP, { kind: 'available', material });
    const first = identities.ready(APP);
    identities.update(APP, { kind: 'available', material });
    expect(identities.ready(APP)).not.to.equal(first);
    pass(RETIRED_MS - 100);
    expect(() => first?.pointer).not.to.throw();
    pass(200);
    expect(() => first?.pointer).to.throw();
  });

  it('update() keeps the certificate before when the new one can not be used, and says why', () => {
    identities.update(APP, { kind: 'available', material });
    const first = identities.ready(APP);
    const problem = identities.update(APP, { kind: 'available', material: bad });
    expect(problem).to.match(new RegExp(`^the certificate of "${APP}" can't be used: .+`));
    pass(RETIRED_MS + 100);
    expect(identities.ready(APP)).to.equal(first);
    expect(() => first?.pointer).not.to.throw();
  });

  it('update() fails those who wait when the first certificate can not be used', () => {
    identities.whenReady(APP, waiter);
    expect(identities.update(APP, { kind: 'available', material: bad })).to.be.a('string');
    expect(waiter.told[0]).to.match(new RegExp(`^identity error: no certificate for "${APP}": .+`));
    expect(identities.ready(APP)).to.equal(undefined);
  });

  it('closes a waiter that throws, and tells the others all the same', () => {
    const badWaiter = new BadWaiter();
    identities.whenReady(APP, badWaiter);
    identities.whenReady(APP, waiter);
    expect(() => identities.update(APP, { kind: 'available', material })).to.throw('a bug');
    expect(badWaiter.told).to.deep.equal(['Error: a bug']);
    expect(waiter.told).to.deep.equal([identities.ready(APP)]);
  });

  it('closes a waiter that throws when its time is up', () => {
    const badWaiter = new BadWaiter();
    identities.whenReady(APP, badWaiter);
    identities.whenReady(APP, waiter);
    pass(WAIT_MS + 100);
    expect(badWaiter.told).to.deep.equal(['Error: a bug']);
    expect(waiter.told).to.have.lengthOf(1);
  });
});
