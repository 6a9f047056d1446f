import { expect } from 'chai';
import { describe, it } from 'mocha';

import { readCgroup, readStartTime } from '#cni/agent/pod-process.ts';

const UID = '0f6e9c1a-1b2c-4d3e-8f90-a1b2c3d4e5f6';
const SLICE = UID.replaceAll('-', '_');
const ID = 'c'.repeat(64);

describe('readCgroup()', () => {
  const pods: readonly (readonly [string, string])[] = [
    ['cgroupfs', `0::/kubepods/burstable/pod${UID}/${ID}\n`],
    ['cgroupfs, guaranteed', `0::/kubepods/pod${UID}/${ID}\n`],
    [
      'several hierarchies of one pod',
      `9:cpu:/kubepods/besteffort/pod${UID}/${ID}\n0::/kubepods/besteffort/pod${UID}/${ID}\n`,
    ],
    [
      'systemd, containerd',
      `0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${SLICE}.slice/cri-containerd-${ID}.scope\n`,
    ],
    [
      'systemd, docker',
      `1:name=systemd:/kubepods.slice/kubepods-pod${SLICE}.slice/docker-${ID}.scope\n`,
    ],
    [
      'containerd without scopes',
      `0::/system.slice/containerd.service/kubepods-burstable-pod${SLICE}.slice:cri-containerd:${ID}\n`,
    ],
    ['seen from another control group', `0::/../../pod${UID}/${ID}\n`],
    ['a cluster in a container', `0::/docker/${ID}/kubelet/kubepods/burstable/pod${UID}/${ID}\n`],
    [
      'a cluster in a pod',
      `0::/kubepods/pod11111111-1111-1111-1111-111111111111/${ID}/kubepods/pod${UID}/${ID}\n`,
    ],
  ];
  for (const [what, text] of pods) {
    it(`finds the pod: ${what}`, () => {
      expect(readCgroup(text)).to.deep.equal({ kind: 'pod', uid: UID });
    });
  }

  const others: readonly (readonly [string, string])[] = [
    ['a service of the node', '0::/system.slice/ssh.service\n'],
    ['the root', '0::/\n'],
    ['nothing', ''],
    ['no uid', `0::/kubepods/pod-of-mine/${ID}\n`],
    ['a uid that goes on', `0::/kubepods/pod${UID}a/${ID}\n`],
    ['a runtime that names containers alone', `0::/system.slice/crio-${ID}.scope\n`],
  ];
  for (const [what, text] of others) {
    it(`finds no pod: ${what}`, () => {
      expect(readCgroup(text)).to.deep.equal({ kind: 'none' });
    });
  }

  it('does not choose between two pods', () => {
    const other = '11111111-1111-1111-1111-111111111111';
    const text = `2:cpu:/kubepods/pod${UID}/${ID}\n1:memory:/kubepods/pod${other}/${ID}\n`;
    expect(readCgroup(text)).to.deep.equal({ kind: 'ambiguous' });
  });
});

describe('readStartTime()', () => {
  const rest = Array.from({ length: 30 }, (_, index) => index + 3).join(' ');

  it('reads field 22, whatever the program is called', () => {
    expect(readStartTime(`17 (sleep) ${rest}\n`)).to.equal(22);
    expect(readStartTime(`17 (a) b (c) ${rest}\n`)).to.equal(22);
  });

  it('is undefined for what is no such line', () => {
    expect(readStartTime('')).to.equal(undefined);
    expect(readStartTime('17 (sleep) S 1')).to.equal(undefined);
  });
});
