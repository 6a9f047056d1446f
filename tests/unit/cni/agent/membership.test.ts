import { expect } from 'chai';
import { describe, it } from 'mocha';

import {
  hasUid,
  type Membership,
  membershipOf,
  nextStep,
  podAddresses,
  type Standing,
  type Step,
} from '#cni/agent/membership.ts';
import { DEFAULT_SELECTORS } from '#cni/plugin/eligibility.ts';
import type { Pod, PodStatus, StringMap } from '#kube/resources.ts';

const MODE = 'istio.io/dataplane-mode';
const AMBIENT = { [MODE]: 'ambient' };

interface Given {
  readonly labels?: StringMap;
  readonly annotations?: StringMap;
  readonly namespace?: string;
  readonly hostNetwork?: boolean;
  readonly status?: PodStatus;
}

function pod({
  labels = {},
  annotations = {},
  namespace = 'shop',
  hostNetwork,
  status,
}: Given): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'till', namespace, uid: 'u1', labels, annotations },
    spec: { containers: [], ...(hostNetwork === undefined ? {} : { hostNetwork }) },
    ...(status === undefined ? {} : { status }),
  };
}

describe('membershipOf()', () => {
  const settings = {
    excludedNamespaces: new Set(['kube-system']),
    selectors: DEFAULT_SELECTORS,
    systemNamespace: 'istio-system',
  };
  const cases: readonly (readonly [string, Given, StringMap | undefined, Membership])[] = [
    ['of a labelled namespace', {}, AMBIENT, 'member'],
    ['of another namespace', {}, {}, 'outside'],
    ['with the label itself', { labels: AMBIENT }, {}, 'member'],
    ['that opts out', { labels: { [MODE]: 'none' } }, AMBIENT, 'outside'],
    ['on the network of the node', { hostNetwork: true }, AMBIENT, 'outside'],
    ['with a sidecar', { annotations: { 'sidecar.istio.io/status': '{}' } }, AMBIENT, 'outside'],
    ['of an excluded namespace', { namespace: 'kube-system' }, AMBIENT, 'outside'],
    [
      'that only says that it is enrolled',
      { annotations: { 'ambient.istio.io/redirection': 'enabled' } },
      {},
      'outside',
    ],
    [
      'of the node tunnels',
      { namespace: 'istio-system', labels: { app: 'ztunnel' } },
      AMBIENT,
      'outside',
    ],
    ['of somebody else who is called that', { labels: { app: 'ztunnel' } }, AMBIENT, 'member'],
    ['that has succeeded', { status: { phase: 'Succeeded' } }, AMBIENT, 'ended'],
    ['that has failed', { status: { phase: 'Failed' } }, undefined, 'ended'],
    ['of an unknown namespace', { labels: AMBIENT }, undefined, 'unknown'],
  ];
  for (const [what, given, namespaceLabels, membership] of cases) {
    it(`is "${membership}" for a pod ${what}`, () => {
      expect(membershipOf(pod(given), namespaceLabels, settings)).to.equal(membership);
    });
  }
});

describe('nextStep()', () => {
  const plain = pod({ status: { phase: 'Running', podIP: '10.1.1.1' } });
  const annotated = pod({
    annotations: { 'ambient.istio.io/redirection': 'enabled' },
    status: { phase: 'Running', podIP: '10.1.1.1' },
  });
  const fresh = pod({});
  const cases: readonly (readonly [string, Pod | undefined, Membership, Standing, Step])[] = [
    ['a new member', plain, 'member', 'unknown', 'enrol'],
    ['a new member without an address', fresh, 'member', 'unknown', 'nothing'],
    ['a member that an earlier agent enrolled', annotated, 'member', 'claimed', 'enrol'],
    ['an enrolled member', annotated, 'member', 'enrolled', 'refresh'],
    ['an enrolled member whose address is not told yet', fresh, 'member', 'enrolled', 'refresh'],
    ['a member that was about to leave', plain, 'member', 'draining', 'enrol'],
    ['an enrolled pod that left', annotated, 'outside', 'enrolled', 'release'],
    ['a claimed pod that left', annotated, 'outside', 'claimed', 'release'],
    ['a pod that says it is enrolled, and is not', annotated, 'outside', 'unknown', 'release'],
    ['a pod outside', plain, 'outside', 'unknown', 'nothing'],
    ['a pod that drains', plain, 'outside', 'draining', 'nothing'],
    ['a pod that drains and is still annotated', annotated, 'outside', 'draining', 'release'],
    ['an enrolled pod that ended', annotated, 'ended', 'enrolled', 'forget'],
    ['a pod that ended with its annotation', annotated, 'ended', 'unknown', 'forget'],
    ['a pod that ended', plain, 'ended', 'unknown', 'nothing'],
    ['an enrolled pod of an unknown namespace', annotated, 'unknown', 'enrolled', 'nothing'],
    ['a deleted pod that was enrolled', undefined, 'ended', 'enrolled', 'forget'],
    ['a deleted pod that drained', undefined, 'ended', 'draining', 'forget'],
    ['a deleted pod', undefined, 'ended', 'unknown', 'nothing'],
  ];
  for (const [what, given, membership, standing, step] of cases) {
    it(`is "${step}" for ${what}`, () => {
      expect(nextStep(given, membership, standing)).to.equal(step);
    });
  }
});

describe('hasUid()', () => {
  it('knows a pod by its uid, and a static one by that which the kubelet gave it', () => {
    const mirror = pod({ annotations: { 'kubernetes.io/config.mirror': 'of-the-kubelet' } });
    expect(hasUid(mirror, 'u1')).to.equal(true);
    expect(hasUid(mirror, 'of-the-kubelet')).to.equal(true);
    expect(hasUid(mirror, 'of-another')).to.equal(false);
    expect(hasUid(pod({}), 'of-the-kubelet')).to.equal(false);
  });
});

describe('podAddresses()', () => {
  it('takes the list, or the one address, or none', () => {
    const podIPs = [{ ip: '10.1.1.1' }, { ip: 'fd00::1' }];
    expect(podAddresses(pod({ status: { podIPs, podIP: '10.1.1.1' } }))).to.deep.equal([
      '10.1.1.1',
      'fd00::1',
    ]);
    expect(podAddresses(pod({ status: { podIP: '10.1.1.1' } }))).to.deep.equal(['10.1.1.1']);
    expect(podAddresses(pod({ status: { podIP: '' } }))).to.deep.equal([]);
    expect(podAddresses(pod({}))).to.deep.equal([]);
  });

  it('leaves out what is no address', () => {
    const podIPs = [{ ip: '10.1.1.1 } } chain x { drop; }' }, { ip: 'fd00::1' }];
    expect(podAddresses(pod({ status: { podIPs } }))).to.deep.equal(['fd00::1']);
    expect(podAddresses(pod({ status: { podIP: 'nowhere' } }))).to.deep.equal([]);
  });
});
