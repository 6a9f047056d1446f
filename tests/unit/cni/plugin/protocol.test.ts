import { expect } from 'chai';
import { describe, it } from 'mocha';

import {
  addResult,
  CNI_ERROR,
  type CniRequest,
  readRequest,
  SUPPORTED_VERSIONS,
  versionResult,
} from '#cni/plugin/protocol.ts';

const env = {
  CNI_COMMAND: 'ADD',
  CNI_CONTAINERID: 'abc123',
  CNI_NETNS: '/var/run/netns/cni-1',
  CNI_IFNAME: 'eth0',
  CNI_ARGS: 'IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=till-0;K8S_POD_UID=u1',
};
const config = { cniVersion: '1.0.0', name: 'net', type: 'istio-cni', ambient_enabled: true };
const prevResult = {
  cniVersion: '1.0.0',
  interfaces: [{ name: 'eth0' }],
  ips: [{ address: '10.2.3.4/24', gateway: '10.2.3.1', interface: 0 }, { address: 'fd00::4/64' }],
  routes: [{ dst: '0.0.0.0/0' }],
};

function read(more: object = {}, changed: object = {}): CniRequest {
  return readRequest({ ...env, ...changed }, JSON.stringify({ ...config, ...more }));
}

function refusal(request: CniRequest): { code: number; msg: string } {
  if (request.kind !== 'refused') throw new Error(`it was not refused but ${request.kind}`);
  return request.error;
}

describe('readRequest()', () => {
  it('reads an ADD: the pod, its namespace and the addresses of the plugins before', () => {
    const request = read({ prevResult, cni_agent_run_dir: '/run/x', exclude_namespaces: ['a'] });
    if (request.kind !== 'add') throw new Error(request.kind);
    expect(request.pod).to.deep.equal({ namespace: 'shop', name: 'till-0', uid: 'u1' });
    expect(request.netns).to.equal('/var/run/netns/cni-1');
    expect(request.ips).to.deep.equal([
      { address: '10.2.3.4/24', gateway: '10.2.3.1', interface: 0 },
      { address: 'fd00::4/64' },
    ]);
    expect(request.config).to.include({ agentRunDirectory: '/run/x', ambientEnabled: true });
    expect(request.config.excludedNamespaces).to.deep.equal(['a']);
  });

  it('takes the addresses of a result before 0.3.0', () => {
    const old = { ip4: { ip: '10.2.3.4/24', gateway: '10.2.3.1' }, ip6: { ip: 'fd00::4/64' } };
    const request = read({ cniVersion: '0.2.0', prevResult: old });
    expect(request.kind === 'add' && request.ips).to.deep.equal([
      { address: '10.2.3.4/24', gateway: '10.2.3.1' },
      { address: 'fd00::4/64' },
    ]);
  });

  it('knows when there is no pod, no earlier result and no list of namespaces', () => {
    const request = read({ exclude_namespaces: null }, { CNI_ARGS: 'K8S_POD_NAME=x' });
    if (request.kind !== 'add') throw new Error(request.kind);
    expect([request.pod, request.ips]).to.deep.equal([undefined, undefined]);
    expect(request.config.excludedNamespaces).to.deep.equal([]);
  });

  it('has nothing to do for DEL without a namespace, CHECK, GC and STATUS', () => {
    for (const command of ['DEL', 'CHECK', 'GC', 'STATUS']) {
      const changed = command === 'DEL' ? { CNI_NETNS: undefined } : {};
      expect(read({}, { ...changed, CNI_COMMAND: command }).kind).to.equal('nothing-to-do');
    }
  });

  it('answers VERSION with all versions, and no command with nothing', () => {
    expect(readRequest({}, '').kind).to.equal('about');
    const request = read({}, { CNI_COMMAND: 'VERSION' });
    expect(request).to.deep.equal({ kind: 'version', cniVersion: '1.0.0' });
    expect(versionResult('1.0.0')).to.deep.equal({
      cniVersion: '1.0.0',
      supportedVersions: ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'],
    });
  });

  const wrong: readonly (readonly [string, CniRequest, number, string])[] = [
    ['bytes that are no JSON', readRequest(env, '{'), CNI_ERROR.decoding, 'cannot read'],
    ['a list', readRequest(env, '[]'), CNI_ERROR.decoding, 'not an object'],
    ['a version of later', read({ cniVersion: '9.0.0' }), 1, 'incompatible CNI version "9.0.0"'],
    ['CHECK before 0.4.0', read({ cniVersion: '0.3.1' }, { CNI_COMMAND: 'CHECK' }), 1, '0.4.0'],
    ['another command', read({}, { CNI_COMMAND: 'RUN' }), 4, '"RUN"'],
    ['no name', read({ name: '' }), CNI_ERROR.invalidConfig, '"name"'],
    ['an odd name', read({ name: '../x' }), CNI_ERROR.invalidConfig, '"../x"'],
    ['no container', read({}, { CNI_CONTAINERID: '' }), 4, 'CNI_CONTAINERID'],
    ['an interface with a slash', read({}, { CNI_IFNAME: 'a/b' }), 4, 'CNI_IFNAME'],
    ['a long interface', read({}, { CNI_IFNAME: 'x'.repeat(16) }), 4, 'CNI_IFNAME'],
    ['no namespace', read({}, { CNI_NETNS: '' }), 4, 'CNI_NETNS'],
  ];
  for (const [what, request, code, part] of wrong) {
    it(`refuses ${what}`, () => {
      const error = refusal(request);
      expect(error.code).to.equal(code);
      expect(error.msg).to.contain(part);
    });
  }

  it('takes every version that it says it speaks', () => {
    for (const cniVersion of SUPPORTED_VERSIONS) expect(read({ cniVersion }).kind).to.equal('add');
  });
});

describe('addResult()', () => {
  it('is the earlier result, as it is', () => {
    const request = read({ prevResult });
    expect(request.kind === 'add' && addResult(request.config)).to.deep.equal(prevResult);
  });

  it('is an empty result when there was none', () => {
    const request = read();
    expect(request.kind === 'add' && addResult(request.config)).to.deep.equal({
      cniVersion: '1.0.0',
    });
  });
});
