import { createPrivateKey, X509Certificate } from 'node:crypto';

import { create } from '@bufbuild/protobuf';
import { status as Status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { beforeEach, describe, it } from 'mocha';

import { IstioCertificateRequestSchema } from '#api/gen/ca_pb.ts';
import type { CallContext } from '#common/grpc/server.ts';
import { newSigningRequest } from '#common/tls/csr.ts';
import { SigningCounters } from '#istiod/ca/counters.ts';
import { newRoot } from '#istiod/ca/root.ts';
import { CertificateService } from '#istiod/ca/service.ts';
import type { PodRecord } from '#istiod/model/pod.ts';
import type { TokenVerdict } from '#kube/token-review.ts';
import { podRecord } from '#tests/support/control-plane.ts';
import { logLines } from '#tests/support/log-lines.ts';
import { ManualClock } from '#tests/support/manual-clock.ts';

const HOUR_MS = 3_600_000;
const CASHIER = 'spiffe://cluster.local/ns/shop/sa/cashier';
const TUNNEL = podRecord('ztunnel-a', { namespace: 'istio-system', serviceAccount: 'ztunnel' });
const TILL = podRecord('till', { serviceAccount: 'cashier' });

const SIGNED_IN: TokenVerdict = {
  kind: 'authenticated',
  user: {
    username: 'system:serviceaccount:istio-system:ztunnel',
    uid: '',
    groups: ['system:serviceaccounts', 'system:authenticated'],
    serviceAccount: {
      namespace: 'istio-system',
      name: 'ztunnel',
      pod: { name: 'ztunnel-a', uid: TUNNEL.uid },
    },
  },
};

const context: CallContext = {
  peer: '10.0.0.9:1',
  header: (name) => (name === 'authorization' ? 'Bearer token' : undefined),
};

describe('CertificateService', () => {
  let clock: ManualClock;
  let pods: PodRecord[];
  let podChange: (() => void) | undefined;
  let verdict: () => Promise<TokenVerdict>;
  let service: CertificateService;
  let counters: SigningCounters;
  const root = newRoot('cluster.local', new ManualClock().now());

  beforeEach(() => {
    clock = new ManualClock();
    pods = [TUNNEL, TILL];
    podChange = undefined;
    verdict = () => Promise.resolve(SIGNED_IN);
    counters = new SigningCounters();
    service = new CertificateService({
      root,
      view: {
        trustDomain: 'cluster.local',
        trustedNodeAccounts: new Set(['istio-system/ztunnel']),
        pod: (key) => pods.find(({ namespace, name }) => `${namespace}/${name}` === key),
        podsOf: (namespace, account, node) =>
          pods.filter(
            (pod) =>
              pod.namespace === namespace && pod.serviceAccount === account && pod.node === node,
          ),
      },
      review: () => verdict(),
      onPodChange: (run) => {
        podChange = run;
        return {
          [Symbol.dispose]: () => {
            podChange = undefined;
          },
        };
      },
      lifeMs: { fallback: 24 * HOUR_MS, max: 48 * HOUR_MS },
      counters,
      clock,
      log: logLines().log,
    });
  });

  function ask(more: { csr?: string; validityDuration?: bigint; wanted?: unknown } = {}) {
    const { csr = newSigningRequest(CASHIER).csrPem, validityDuration = 0n } = more;
    const wanted = 'wanted' in more ? more.wanted : CASHIER;
    const metadata = { ImpersonatedIdentity: wanted as string };
    const request = create(IstioCertificateRequestSchema, { csr, validityDuration, metadata });
    return service.createCertificate(request, context);
  }

  async function leafOf(asked: ReturnType<typeof ask>): Promise<X509Certificate> {
    const answer = await asked;
    if (answer.kind === 'refused') throw new Error(answer.details);
    expect(answer.response.certChain).to.have.length(2);
    expect(answer.response.certChain[1]).to.equal(root.certificatePem);
    return new X509Certificate(answer.response.certChain[0] ?? '');
  }

  it('signs the key of the request for the identity that was asked for', async () => {
    const { csrPem, privateKeyPem } = newSigningRequest('spiffe://elsewhere/ns/a/sa/b');
    const leaf = await leafOf(ask({ csr: csrPem }));
    // What the request says about names is not looked at.
    expect(leaf.subjectAltName).to.equal(`URI:${CASHIER}`);
    expect(leaf.checkPrivateKey(createPrivateKey(privateKeyPem))).to.equal(true);
    expect(counters.issued).to.equal(1);
  });

  for (const [asked, hours] of [
    [0n, 24],
    [3_600n, 1],
    [-1n, 24],
    [10n ** 12n, 48],
  ] as const) {
    it(`lets it live ${hours} h when ${asked} s are asked for`, async () => {
      const leaf = await leafOf(ask({ validityDuration: asked }));
      expect(Date.parse(leaf.validTo) - clock.now()).to.equal(hours * HOUR_MS);
    });
  }

  it('waits a little for a pod that it has not heard of', async () => {
    pods = [TUNNEL];
    const asked = ask();
    await clock.advance(1_000);
    pods = [TUNNEL, TILL];
    podChange?.();
    expect((await leafOf(asked)).subjectAltName).to.equal(`URI:${CASHIER}`);
    expect(clock.pending).to.equal(0);
  });

  it('refuses when the pod does not come, and says why', async () => {
    pods = [TUNNEL, { ...TILL, node: 'node-b' }];
    const asked = ask();
    await clock.advance(3_000);
    const answer = await asked;
    expect(answer).to.deep.include({ kind: 'refused', status: Status.UNAUTHENTICATED });
    expect(answer).to.have.property('details').that.contains('runs on node node-a');
    expect(podChange).to.equal(undefined);
  });

  it('does not take a value that is no text for a wish for its own identity', async () => {
    for (const wanted of [{ a: 1 }, 5, true]) {
      const answer = await ask({ wanted });
      expect(answer).to.deep.include({ kind: 'refused', status: Status.UNAUTHENTICATED });
    }
  });

  it('refuses strangers, and has callers come again when nobody can be asked', async () => {
    verdict = () => Promise.resolve({ kind: 'refused', reason: 'expired' });
    expect(await ask()).to.deep.include({ kind: 'refused', status: Status.UNAUTHENTICATED });
    verdict = () => Promise.reject(new Error('no route'));
    expect(await ask()).to.deep.include({ kind: 'refused', status: Status.UNAVAILABLE });
    expect(counters.authenticationFailures).to.equal(2);
  });

  it('refuses a request that it can not read, and one after its root has expired', async () => {
    expect(await ask({ csr: 'x' })).to.deep.include({ status: Status.INVALID_ARGUMENT });
    clock.jump(11 * 365 * 24 * HOUR_MS);
    expect(await ask()).to.deep.include({ status: Status.INTERNAL });
  });
});
