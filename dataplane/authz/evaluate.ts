import { keyOfPolicy, type Policy } from '#dataplane/state/authorization.ts';
import type { PolicyKey } from '#dataplane/state/names.ts';
import type { ApplicablePolicies } from '#dataplane/state/view.ts';

import { type ConnectionFacts, policyMatches, Subject } from './match.ts';

/** What a policy that is only tried out would have done. */
export interface DryRunNotice {
  /** Undefined for `no-allow-matches`: it is about all of them together. */
  readonly policy: PolicyKey | undefined;
  readonly effect: 'would-deny' | 'would-allow' | 'no-allow-matches';
}

export type Verdict =
  | {
      readonly kind: 'allow';
      /** The ALLOW policy that matched; undefined when there is none to match. */
      readonly by: PolicyKey | undefined;
      readonly dryRun: readonly DryRunNotice[];
    }
  | {
      readonly kind: 'deny';
      /** For the log, after "connection closed due to policy rejection: ". */
      readonly reason: string;
      /** The policy that denied; undefined when no ALLOW policy matched. */
      readonly policy: PolicyKey | undefined;
      readonly dryRun: readonly DryRunNotice[];
    };

/**
 * Judges one connection, in this order: a DENY policy that matches denies; a policy that the workload
 * names but that has not arrived denies; without ALLOW policies the connection is allowed; otherwise
 * one of them must match.
 *
 * The second step is our choice. What the absent policy would forbid isn't known, so going on without
 * it would open a gap at each start and each policy change, for as long as the control plane needs to
 * deliver it. The reason names the policy, so that one that never comes is found.
 */
export function evaluate(applicable: ApplicablePolicies, connection: ConnectionFacts): Verdict {
  const { policies, missing } = applicable;
  if (policies.length === 0 && missing.length === 0) return ALLOWED_WITHOUT_POLICIES;
  const subject = new Subject(connection);
  const dryRun: DryRunNotice[] = [];

  note(dryRun, 'would-deny', dryRunMatches(policies, 'Deny', subject));
  const denying = enforcedMatch(policies, 'Deny', subject);
  if (denying !== undefined) {
    const policy = keyOfPolicy(denying);
    return { kind: 'deny', reason: `explicitly denied by: ${policy}`, policy, dryRun };
  }
  const absent = missing[0];
  if (absent !== undefined) {
    const reason = `policy has not been received yet: ${missing.join(', ')}`;
    return { kind: 'deny', reason, policy: absent, dryRun };
  }

  const wouldAllow = dryRunMatches(policies, 'Allow', subject);
  note(dryRun, 'would-allow', wouldAllow);
  const allowing = enforcedMatch(policies, 'Allow', subject);
  if (allowing !== undefined) return { kind: 'allow', by: keyOfPolicy(allowing), dryRun };
  if (policies.some((policy) => policy.action === 'Allow' && !policy.dryRun)) {
    const reason = 'allow policies exist, but none allowed';
    return { kind: 'deny', reason, policy: undefined, dryRun };
  }
  const triesAllow = policies.some((policy) => policy.action === 'Allow');
  if (triesAllow && wouldAllow.length === 0) {
    dryRun.push({ policy: undefined, effect: 'no-allow-matches' });
  }
  return { kind: 'allow', by: undefined, dryRun };
}

const ALLOWED_WITHOUT_POLICIES: Verdict = { kind: 'allow', by: undefined, dryRun: [] };

function enforcedMatch(
  policies: readonly Policy[],
  action: Policy['action'],
  subject: Subject,
): Policy | undefined {
  return policies.find(
    (policy) => policy.action === action && !policy.dryRun && policyMatches(policy, subject),
  );
}

function dryRunMatches(
  policies: readonly Policy[],
  action: Policy['action'],
  subject: Subject,
): readonly Policy[] {
  return policies.filter(
    (policy) => policy.dryRun && policy.action === action && policyMatches(policy, subject),
  );
}

function note(
  notices: DryRunNotice[],
  effect: DryRunNotice['effect'],
  policies: readonly Policy[],
): void {
  for (const policy of policies) notices.push({ policy: keyOfPolicy(policy), effect });
}
