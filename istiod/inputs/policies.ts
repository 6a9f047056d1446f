import type { AuthorizationPolicy, PeerAuthentication } from '#kube/resources.ts';

import type {
  AuthorizationPolicyRecord,
  MtlsMode,
  PeerAuthenticationRecord,
  PolicyTarget,
} from '../model/policy.ts';
import { list, record, text, type Written } from '../model/written.ts';
import { described, selectorOf } from './metadata.ts';

const DRY_RUN = 'istio.io/dry-run';
const MODES: ReadonlySet<unknown> = new Set<MtlsMode>(['UNSET', 'DISABLE', 'PERMISSIVE', 'STRICT']);

/** What is kept of an AuthorizationPolicy. */
export function authorizationPolicyRecord(policy: AuthorizationPolicy): AuthorizationPolicyRecord {
  const spec = record(policy.spec);
  return {
    ...described(policy),
    selector: selectorOf(record(spec['selector'])['matchLabels']),
    targeted: spec['targetRef'] !== undefined || list(spec['targetRefs']).length > 0,
    targets: targetsOf(spec),
    dryRun: policy.metadata.annotations?.[DRY_RUN] === 'true',
    action: spec['action'],
    rules: spec['rules'],
  };
}

function targetsOf(spec: Written): readonly PolicyTarget[] {
  return [spec['targetRef'], ...list(spec['targetRefs'])].flatMap((ref) => {
    const { group, kind, name, namespace } = record(ref);
    const said = text(name);
    if (said === undefined) return [];
    const target = { group: text(group) ?? '', kind: text(kind) ?? '', name: said };
    return [text(namespace) === undefined ? target : { ...target, namespace: text(namespace) }];
  });
}

/** What is kept of a PeerAuthentication. */
export function peerAuthenticationRecord(policy: PeerAuthentication): PeerAuthenticationRecord {
  const spec = record(policy.spec);
  const ports = Object.entries(record(spec['portLevelMtls'])).flatMap(([port, mtls]) =>
    isPort(port) ? [[Number(port), modeOf(mtls)] as const] : [],
  );
  return {
    ...described(policy),
    selector: selectorOf(record(spec['selector'])['matchLabels']),
    mode: modeOf(spec['mtls']),
    ports: new Map(ports),
  };
}

/** What else stands there is no port of anybody's: nothing can arrive at it. */
function isPort(written: string): boolean {
  return /^[1-9][0-9]{0,4}$/.test(written) && Number(written) <= 65_535;
}

/** A word that is no mode counts as the strictest: plain text is let in only when somebody says so. */
function modeOf(mtls: unknown): MtlsMode {
  const mode = record(mtls)['mode'];
  if (mode === undefined) return 'UNSET';
  return MODES.has(mode) ? (mode as MtlsMode) : 'STRICT';
}
