import type { Pod } from '#kube/resources.ts';

import type { ProbeSources } from '../rules/node-probes.ts';
import { captureRules, type Ruleset } from '../rules/ruleset.ts';
import { readPodOptions } from './pod-options.ts';

export interface PodRulesSettings {
  /** The node tunnel answers DNS. Where it does not, no pod can ask for it: its names would no longer resolve. */
  readonly captureDns: boolean;
  readonly ipv6: boolean;
  readonly probeSources: ProbeSources;
}

/** The rules that a pod gets, by its annotations. `warn` is told what of them has no effect. */
export function rulesForPod(
  pod: Pod,
  settings: PodRulesSettings,
  warn: (problem: string) => void,
): Ruleset {
  const { bypassInbound, dns, problems } = readPodOptions(pod.metadata.annotations);
  for (const problem of problems) warn(problem);
  if (dns === true && !settings.captureDns) {
    warn('the pod asks for DNS capture, which AMBIENT_DNS_CAPTURE does not allow');
  }
  return captureRules({
    dns: settings.captureDns && dns !== false,
    ipv6: settings.ipv6,
    inbound: bypassInbound !== true,
    probeSourceIpv4: settings.probeSources.ipv4,
    probeSourceIpv6: settings.probeSources.ipv6,
  });
}
