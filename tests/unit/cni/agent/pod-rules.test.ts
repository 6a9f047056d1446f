import { expect } from 'chai';
import { describe, it } from 'mocha';

import { rulesForPod } from '#cni/agent/pod-rules.ts';
import { renderRuleset } from '#cni/rules/render.ts';
import type { StringMap } from '#kube/resources.ts';

const DNS = 'ambient.istio.io/dns-capture';
const BYPASS = 'ambient.istio.io/bypass-inbound-capture';
const settings = {
  captureDns: true,
  ipv6: true,
  probeSources: { ipv4: '192.0.2.1', ipv6: 'fd00::7' },
};

function rules(annotations: StringMap, given = settings): { text: string; warnings: string[] } {
  const warnings: string[] = [];
  const metadata = { name: 'till', annotations };
  const pod = { apiVersion: 'v1', kind: 'Pod', metadata, spec: { containers: [] } };
  const ruleset = rulesForPod(pod, given, (warning) => warnings.push(warning));
  return { text: renderRuleset(ruleset), warnings };
}

describe('rulesForPod()', () => {
  it('lets probes from the settings through', () => {
    expect(rules({}).text).to.contain('192.0.2.1').and.contain('fd00::7');
  });

  it('captures DNS unless the pod does not want it', () => {
    expect(rules({}).text).to.contain(':15053');
    expect(rules({ [DNS]: 'false' }).text).to.not.contain(':15053');
  });

  it('captures no DNS where nobody would answer, and says so to who asks for it', () => {
    const without = { ...settings, captureDns: false };
    expect(rules({}, without)).to.deep.include({ warnings: [] });
    const asked = rules({ [DNS]: 'true' }, without);
    expect(asked.text).to.not.contain(':15053');
    expect(asked.warnings[0]).to.contain('AMBIENT_DNS_CAPTURE');
  });

  it('leaves what comes in alone for a pod that wants it', () => {
    expect(rules({}).text).to.contain(':15006');
    expect(rules({ [BYPASS]: 'true' }).text).to.not.contain(':15006');
  });
});
