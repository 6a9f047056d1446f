import { expect } from 'chai';
import { beforeEach, describe, it } from 'mocha';

import { type Identity, parseIdentity } from '#common/tls/spiffe.ts';
import type { CertificateSigner, SignResult } from '#dataplane/identity/ca-client.ts';
import {
  type AttemptFailure,
  type CertificateChange,
  CertificateManager,
  type Priority,
  REQUESTS_MAX,
  UNWANTED_KEPT_MS,
} from '#dataplane/identity/certificates.ts';
import type { IdentityMaterial } from '#dataplane/identity/material.ts';
import { ManualClock } from '#tests/support/manual-clock.ts';

const HOUR = 3_600_000;
const id = (name: string): Identity => parseIdentity(`spiffe://td/ns/a/sa/${name}`) as Identity;
const A = id('a');
const NOBODY: ReadonlyMap<Identity, Priority> = new Map();

interface Asked {
  readonly identity: Identity;
  readonly atMs: number;
  readonly signal: AbortSignal;
  readonly resolve: (result: SignResult) => void;
}

/** An authority that answers when the test says so, or on its own once `answer` is set. */
class Authority implements CertificateSigner {
  readonly asked: Asked[] = [];
  readonly #clock: ManualClock;
  answer: ((identity: Identity) => SignResult) | undefined;
  open = 0;
  openMax = 0;

  constructor(clock: ManualClock) {
    this.#clock = clock;
  }

  async sign(identity: Identity, signal: AbortSignal): Promise<SignResult> {
    this.open++;
    this.openMax = Math.max(this.openMax, this.open);
    const result = await new Promise<SignResult>((resolve) => {
      this.asked.push({ identity, atMs: this.#clock.now(), signal, resolve });
      if (this.answer !== undefined) resolve(this.answer(identity));
    });
    this.open--;
    return result;
  }
}

const failure = (reason: string, retryable = true): SignResult => ({
  kind: 'failed',
  reason,
  retryable,
});

describe('CertificateManager', () => {
  let clock: ManualClock;
  let authority: Authority;
  let manager: CertificateManager;
  let changes: string[];
  let failures: AttemptFailure[];
  let random: number;
  let onChange: ((identity: Identity, change: CertificateChange) => void) | undefined;
  let serial = 0;

  beforeEach(() => {
    clock = new ManualClock();
    authority = new Authority(clock);
    changes = [];
    failures = [];
    random = 0.5;
    onChange = undefined;
    manager = new CertificateManager({
      signer: authority,
      clock,
      random: () => random,
      onChange: (identity, change) => {
        const what =
          change.kind === 'available'
            ? change.material.chainPem[0]
            : change.kind === 'unavailable'
              ? change.reason
              : '';
        changes.push(`${identity.split('/').at(-1)} ${change.kind} ${what}`.trim());
        onChange?.(identity, change);
      },
      onFailure: (_, given) => failures.push(given),
    });
  });

  function material(lifeMs = 24 * HOUR): IdentityMaterial {
    serial++;
    return {
      chainPem: [`#${serial}`],
      privateKeyPem: 'secret',
      rootsPem: 'roots',
      notBeforeMs: clock.now(),
      notAfterMs: clock.now() + lifeMs,
    };
  }

  function signed(lifeMs = 24 * HOUR): SignResult {
    return { kind: 'signed', ...material(lifeMs) };
  }

  const times = (): readonly number[] => {
    const [first] = authority.asked;
    return authority.asked.map(({ atMs }) => Math.round(atMs - first!.atMs));
  };
  const asked = (): readonly string[] =>
    authority.asked.map(({ identity }) => identity.split('/').at(-1) ?? '');

  describe('getting a certificate', () => {
    it('asks once however often and urgently it is wanted, and tells once', async () => {
      manager.want(A, 'warmup');
      manager.want(A, 'real-time');
      manager.want(A, 'warmup');
      expect(asked()).to.deep.equal(['a']);
      expect(manager.states()).to.deep.equal([{ identity: A, state: { kind: 'initializing' } }]);
      serial = 0;
      authority.asked[0]!.resolve(signed());
      await clock.advance(0);
      manager.want(A, 'real-time');
      await clock.advance(1_000);
      expect(asked()).to.deep.equal(['a']);
      expect(changes).to.deep.equal(['a available #1']);
    });

    it(`gets 100 with at most ${REQUESTS_MAX} requests at a time`, async () => {
      for (let i = 0; i < 100; i++) manager.want(id(`w${i}`), 'warmup');
      expect(authority.asked).to.have.length(REQUESTS_MAX);
      for (let i = 0; i < 100; i++) {
        authority.asked[i]!.resolve(signed());
        await clock.advance(0);
      }
      expect(authority.openMax).to.equal(REQUESTS_MAX);
      expect(asked()).to.deep.equal(Array.from({ length: 100 }, (_, i) => `w${i}`));
      expect(manager.states().every(({ state }) => state.kind === 'available')).to.equal(true);
      expect(changes).to.have.length(100);
    });

    it('asks for what a connection waits for first, then warm-ups, then the rest, each in order', async () => {
      for (let i = 0; i < REQUESTS_MAX; i++) manager.want(id(`busy${i}`), 'warmup');
      manager.want(id('background'), 'background');
      manager.want(id('warm1'), 'warmup');
      manager.want(id('warm2'), 'warmup');
      manager.want(id('late'), 'warmup');
      manager.want(id('urgent'), 'real-time');
      // A request that waits already moves forward.
      manager.want(id('late'), 'real-time');
      authority.answer = () => signed();
      for (const { resolve } of authority.asked) resolve(signed());
      await clock.advance(0);
      expect(asked().slice(REQUESTS_MAX)).to.deep.equal([
        'late',
        'urgent',
        'warm1',
        'warm2',
        'background',
      ]);
    });

    it('goes on when the signer throws', async () => {
      authority.answer = () => {
        throw new Error('oops');
      };
      manager.want(A, 'warmup');
      await clock.advance(0);
      expect(failures[0]).to.include({ reason: 'Internal error: oops' });
      authority.answer = () => signed();
      await clock.advance(2_000);
      expect(changes).to.have.length(1);
    });

    it('does not take one that is expired already', async () => {
      authority.answer = () => signed(-1);
      manager.want(A, 'warmup');
      await clock.advance(0);
      expect(failures[0]?.reason).to.match(
        /^The authority gave a certificate that ended at .*clock$/,
      );
      expect(changes).to.deep.equal([]);
    });
  });

  describe('renewing', () => {
    beforeEach(async () => {
      serial = 0;
      random = 0;
      authority.answer = () => signed();
      manager.want(A, 'warmup');
      await clock.advance(0);
    });

    it('renews at half life and replaces the certificate', async () => {
      await clock.advance(12 * HOUR - 1);
      expect(authority.asked).to.have.length(1);
      await clock.advance(1);
      expect(times()).to.deep.equal([0, 12 * HOUR]);
      expect(changes).to.deep.equal(['a available #1', 'a available #2']);
      await clock.advance(12 * HOUR);
      expect(times()).to.deep.equal([0, 12 * HOUR, 24 * HOUR]);
    });

    it('renews up to a tenth of its life earlier, at random', async () => {
      random = 1;
      await clock.advance(12 * HOUR);
      expect(times()).to.deep.equal([0, 12 * HOUR]);
      await clock.advance(9.6 * HOUR - 1);
      expect(authority.asked).to.have.length(2);
      await clock.advance(1);
      expect(authority.asked).to.have.length(3);
    });

    it('keeps the certificate while renewals fail, and asks again with growing delays', async () => {
      authority.answer = () => failure('away');
      random = 0.5;
      await clock.advance(12 * HOUR);
      await clock.advance(64_000);
      const start = 12 * HOUR;
      expect(
        times()
          .slice(1)
          .map((ms) => ms - start),
      ).to.deep.equal([0, 1_000, 3_000, 7_000, 15_000, 31_000, 63_000]);
      expect(changes).to.deep.equal(['a available #1']);
      expect(failures.at(-1)).to.deep.include({ reason: 'away', failuresInARow: 7 });
      expect(failures.at(-1)?.usableUntilMs).to.equal(clock.now() + 12 * HOUR - 64_000);
      expect(manager.states()[0]?.state.kind).to.equal('available');
    });

    it('tells of a failure at once, and of the same one again after 30 s', async () => {
      authority.answer = () => failure('away');
      random = 0.5;
      await clock.advance(12 * HOUR);
      await clock.advance(30_000);
      expect(failures).to.have.length(1);
      authority.answer = () => failure('angry');
      await clock.advance(1_000);
      expect(failures.map(({ reason }) => reason)).to.deep.equal(['away', 'angry']);
      await clock.advance(32_000);
      expect(failures).to.have.length(3);
    });

    it('waits 150 s at most, and from the beginning again after a success', async () => {
      authority.answer = () => failure('away');
      random = 0.5;
      await clock.advance(12 * HOUR + 2_000_000);
      const gaps = times().map((ms, i, all) => ms - (all[i - 1] ?? 0));
      expect(Math.max(...gaps.slice(2))).to.equal(150_000);
      authority.answer = () => signed();
      await clock.advance(150_000);
      expect(changes.at(-1)).to.equal('a available #2');
      authority.answer = () => failure('away again');
      await clock.advance(12 * HOUR);
      const again = failures.find(({ reason }) => reason === 'away again');
      expect(again?.failuresInARow).to.equal(1);
    });

    it('serves none beyond its end, tells why, and has one again when it can be had', async () => {
      authority.answer = () => failure('away');
      await clock.advance(24 * HOUR - 1);
      expect(changes).to.deep.equal(['a available #1']);
      await clock.advance(1);
      expect(changes.slice(1)).to.deep.equal([
        'a unavailable The certificate ended at 2026-01-02T00:00:00.000Z and could not be renewed: away',
        'a unavailable away',
      ]);
      authority.answer = () => signed();
      await clock.advance(150_000);
      expect(changes.at(-1)).to.equal('a available #2');
    });

    it('serves none beyond its end while a renewal hangs', async () => {
      authority.answer = undefined;
      await clock.advance(24 * HOUR);
      expect(authority.asked).to.have.length(2);
      expect(changes.at(-1)).to.match(/^a unavailable The certificate ended at/);
      authority.asked[1]!.resolve(signed());
      await clock.advance(0);
      expect(changes.at(-1)).to.equal('a available #2');
    });

    it('notices within a minute that the clock was set forward', async () => {
      authority.answer = undefined;
      clock.jump(25 * HOUR);
      await clock.advance(60_000);
      expect(changes.at(-1)).to.match(/^a unavailable The certificate ended at/);
      expect(authority.asked).to.have.length(2);
    });

    it('does not ask again and again when the clock is wrong by more than half a life', async () => {
      authority.answer = () => ({
        ...(signed() as Extract<SignResult, { kind: 'signed' }>),
        notBeforeMs: clock.now() - 23 * HOUR,
        notAfterMs: clock.now() + HOUR,
      });
      manager.want(id('b'), 'warmup');
      await clock.advance(HOUR);
      expect(asked().filter((name) => name === 'b').length).to.be.within(2, 4);
    });

    it('renews a certificate of seconds once a second at most', async () => {
      authority.answer = () => signed(1_500);
      manager.want(id('b'), 'warmup');
      await clock.advance(10_000);
      expect(asked().filter((name) => name === 'b').length).to.be.within(9, 11);
    });
  });

  describe('failing to get the first', () => {
    beforeEach(() => {
      authority.answer = () => failure('not seen yet');
    });

    it('asks again within 100 to 500 ms while a connection waits, and connections go on waiting', async () => {
      for (random of [0, 1]) {
        manager.want(A, 'real-time');
        await clock.advance(4_900);
        const gaps = times()
          .map((ms, i, all) => ms - (all[i - 1] ?? 0))
          .slice(1);
        for (const gap of gaps) expect(gap).to.be.within(100, 500);
        expect(gaps.length).to.be.above(9);
        expect(changes).to.deep.equal([]);
        manager.wantOnly(NOBODY);
        authority.asked.length = 0;
        changes.length = 0;
      }
    });

    it('tells that there is none after 5 s, and why; then goes on at growing delays', async () => {
      manager.want(A, 'real-time');
      await clock.advance(5_500);
      expect(changes).to.deep.equal(['a unavailable not seen yet']);
      const before = authority.asked.length;
      await clock.advance(8_000);
      expect(authority.asked.length - before).to.be.within(2, 4);
      authority.answer = () => signed();
      serial = 0;
      await clock.advance(20_000);
      expect(changes.slice(1)).to.deep.equal(['a available #1']);
    });

    it('gives a certificate as soon as it can be had', async () => {
      manager.want(A, 'real-time');
      await clock.advance(1_000);
      authority.answer = () => signed();
      await clock.advance(500);
      expect(changes).to.have.length(1);
      expect(changes[0]).to.match(/available/);
    });

    it('takes its time when nobody waits, and hurries when somebody does', async () => {
      manager.want(A, 'warmup');
      await clock.advance(1_500);
      expect(times()).to.deep.equal([0, 1_000]);
      manager.want(A, 'real-time');
      await clock.advance(0);
      expect(times()).to.deep.equal([0, 1_000, 1_500]);
      await clock.advance(500);
      expect(times().length).to.be.above(3);
    });

    it('tells at once when the refusal is final', async () => {
      authority.answer = () => failure('no', false);
      manager.want(A, 'real-time');
      await clock.advance(0);
      expect(changes).to.deep.equal(['a unavailable no']);
      await clock.advance(900);
      expect(authority.asked).to.have.length(1);
    });

    it('asks again for a new connection, every 5 s at most', async () => {
      manager.want(A, 'real-time');
      await clock.advance(200_000);
      const before = authority.asked.length;
      for (let i = 0; i < 100; i++) {
        manager.want(A, 'real-time');
        await clock.advance(100);
      }
      expect(authority.asked.length - before).to.be.within(1, 3);
    });

    it('tells a new reason, and does not repeat an old one', async () => {
      authority.answer = () => failure('one', false);
      manager.want(A, 'warmup');
      await clock.advance(10_000);
      authority.answer = () => failure('two', false);
      await clock.advance(10_000);
      expect(changes).to.deep.equal(['a unavailable one', 'a unavailable two']);
    });
  });

  describe('that nobody wants any more', () => {
    it('keeps a certificate for a minute, then drops it and renews no more', async () => {
      authority.answer = () => signed();
      manager.want(A, 'warmup');
      await clock.advance(0);
      manager.wantOnly(NOBODY);
      await clock.advance(UNWANTED_KEPT_MS - 1);
      manager.wantOnly(NOBODY);
      expect(manager.states()).to.have.length(1);
      await clock.advance(1);
      expect(changes.slice(1)).to.deep.equal(['a forgotten']);
      expect(manager.states()).to.deep.equal([]);
      await clock.advance(48 * HOUR);
      expect(authority.asked).to.have.length(1);
      expect(clock.pending).to.equal(0);
    });

    for (const [who, wantAgain] of [
      ['a pod', () => manager.wantOnly(new Map([[A, 'real-time']]))],
      ['a connection', () => manager.want(A, 'real-time')],
    ] as const) {
      it(`keeps and renews a certificate that ${who} wants again within a minute`, async () => {
        authority.answer = () => signed(4_000);
        manager.want(A, 'warmup');
        await clock.advance(0);
        manager.wantOnly(NOBODY);
        // The time for its renewal passes.
        await clock.advance(3_000);
        expect(authority.asked).to.have.length(1);
        wantAgain();
        await clock.advance(UNWANTED_KEPT_MS);
        expect(authority.asked.length).to.be.above(20);
        expect(changes).not.to.include('a forgotten');
      });
    }

    it('drops a certificate that ends before its minute is over', async () => {
      authority.answer = () => signed(4_000);
      manager.want(A, 'warmup');
      await clock.advance(0);
      manager.wantOnly(NOBODY);
      await clock.advance(4_000);
      expect(changes.slice(1)).to.deep.equal(['a forgotten']);
      expect(authority.asked).to.have.length(1);
    });

    it('does not begin a renewal that waits its turn, until the certificate is wanted again', async () => {
      authority.answer = () => signed();
      manager.want(A, 'warmup');
      await clock.advance(0);
      authority.answer = undefined;
      for (let i = 0; i < REQUESTS_MAX; i++) manager.want(id(`w${i}`), 'real-time');
      const others = new Map(
        authority.asked.slice(1).map(({ identity }) => [identity, 'warmup' as const]),
      );
      await clock.advance(12 * HOUR);
      manager.wantOnly(others);
      for (const { resolve } of authority.asked.slice(1)) resolve(signed());
      await clock.advance(0);
      expect(asked().filter((name) => name === 'a')).to.have.length(1);
      manager.wantOnly(new Map([...others, [A, 'warmup']]));
      await clock.advance(0);
      expect(asked().filter((name) => name === 'a')).to.have.length(2);
    });

    it('stops the request for a first one at once; its answer then counts for nothing', async () => {
      manager.want(A, 'real-time');
      manager.wantOnly(NOBODY);
      expect(authority.asked[0]!.signal.aborted).to.equal(true);
      expect(changes).to.deep.equal(['a forgotten']);
      // Wanted again before the old answer is there: only the new one counts.
      manager.want(A, 'warmup');
      authority.asked[0]!.resolve(signed());
      await clock.advance(0);
      expect(changes).to.deep.equal(['a forgotten']);
      authority.asked[1]!.resolve(signed());
      await clock.advance(0);
      expect(changes).to.have.length(2);
    });

    it('counts forgotten requests that still run, so that the bound holds', async () => {
      for (let i = 0; i < 50; i++) {
        manager.want(id(`w${i}`), 'real-time');
        manager.wantOnly(NOBODY);
      }
      manager.want(A, 'real-time');
      expect(authority.asked).to.have.length(REQUESTS_MAX);
      for (const { resolve } of authority.asked) resolve(failure('aborted'));
      await clock.advance(0);
      expect(asked().at(-1)).to.equal('a');
    });

    it('lets the one who is told want it again at once', async () => {
      authority.answer = () => signed();
      manager.want(A, 'warmup');
      await clock.advance(0);
      onChange = (identity, change) => {
        if (change.kind === 'forgotten') manager.want(identity, 'warmup');
      };
      manager.wantOnly(NOBODY);
      await clock.advance(UNWANTED_KEPT_MS);
      expect(authority.asked).to.have.length(2);
      expect(manager.states()).to.have.length(1);
    });
  });

  describe('taking over', () => {
    it('serves what the predecessor had, and renews it when the predecessor would have', async () => {
      random = 0;
      authority.answer = () => signed();
      const inherited = material();
      await clock.advance(11 * HOUR);
      manager.seed(A, inherited);
      manager.want(A, 'real-time');
      expect(authority.asked).to.deep.equal([]);
      expect(changes).to.deep.equal([`a available ${inherited.chainPem[0]}`]);
      await clock.advance(HOUR - 1);
      expect(authority.asked).to.deep.equal([]);
      await clock.advance(1);
      expect(authority.asked).to.have.length(1);
    });

    it('renews at once what should have been renewed before', async () => {
      authority.answer = () => signed();
      const inherited = material();
      await clock.advance(20 * HOUR);
      manager.seed(A, inherited);
      manager.want(A, 'real-time');
      expect(authority.asked).to.have.length(1);
      await clock.advance(0);
      expect(changes).to.have.length(2);
    });

    it('drops what nobody wants here, without renewing it', async () => {
      authority.answer = () => signed();
      const inherited = material();
      await clock.advance(20 * HOUR);
      manager.seed(A, inherited);
      manager.wantOnly(new Map([[id('b'), 'warmup']]));
      await clock.advance(UNWANTED_KEPT_MS);
      expect(asked()).to.deep.equal(['b']);
      expect(manager.materials().map(({ identity }) => identity)).to.deep.equal([id('b')]);
    });

    it('takes nothing that is expired, and nothing older than what it has', async () => {
      const old = material(HOUR);
      await clock.advance(HOUR);
      manager.seed(A, old);
      expect(manager.states()).to.deep.equal([]);
      authority.answer = () => signed();
      manager.want(A, 'warmup');
      await clock.advance(0);
      manager.seed(A, material());
      expect(changes).to.have.length(1);
    });

    it('answers those who wait, also while a request runs', async () => {
      manager.want(A, 'real-time');
      manager.seed(A, material());
      expect(changes).to.have.length(1);
      authority.asked[0]!.resolve(signed());
      await clock.advance(0);
      expect(changes).to.have.length(2);
      await clock.advance(11 * HOUR);
      expect(authority.asked.length).to.be.at.most(2);
    });

    it('gives its successor keys, and a dump none', async () => {
      const given = material();
      manager.seed(A, given);
      manager.want(id('b'), 'warmup');
      expect(manager.materials()).to.deep.equal([{ identity: A, material: given }]);
      expect(JSON.stringify(manager.states())).to.not.include('secret');
      expect(manager.states()[0]).to.deep.equal({
        identity: A,
        state: { kind: 'available', chainPem: given.chainPem, rootsPem: 'roots' },
      });
    });
  });

  it('stops everything when it is disposed', async () => {
    manager.want(A, 'real-time');
    manager[Symbol.dispose]();
    expect(authority.asked[0]!.signal.aborted).to.equal(true);
    authority.asked[0]!.resolve(signed());
    await clock.advance(HOUR);
    expect(changes).to.deep.equal([]);
    expect(clock.pending).to.equal(0);
    expect(authority.asked).to.have.length(1);
  });
});
