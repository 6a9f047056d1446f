import { readFileSync } from 'node:fs';

import { runCommand } from '#linux/command.ts';
import { inNetns } from '#linux/netns.ts';
import { applyNft } from '#linux/nft.ts';

import type { RulesListing } from './compare.ts';
import { renderRemoval, renderRouting, renderRoutingRemoval, renderRuleset } from './render.ts';
import type { Family, LocalRouting, Ruleset } from './ruleset.ts';

export type RulesResult =
  | { readonly kind: 'applied' }
  /** What was there before is still in force, but for the routing. */
  | { readonly kind: 'failed'; readonly message: string };

const APPLIED: RulesResult = { kind: 'applied' };

/**
 * Puts rules in force in a pod's network namespace, in place of those that are there. Doing it again changes nothing
 * and interrupts nobody. Routing comes first: without it, what the rules mark would get lost.
 */
export async function applyRules(netnsFd: number, ruleset: Ruleset): Promise<RulesResult> {
  const { routing } = ruleset;
  const routed = await Promise.all(
    families(netnsFd, routing).map(async (family) =>
      runIp(netnsFd, family, renderRouting(routing), isThereAlready),
    ),
  );
  const failed = routed.find((result) => result.kind === 'failed');
  return failed ?? loadBatch(netnsFd, renderRuleset(ruleset));
}

/** Takes rules out again; what is not there is no error. Connections that pass through them break. */
export async function removeRules(netnsFd: number, ruleset: Ruleset): Promise<RulesResult> {
  const removed = await loadBatch(netnsFd, renderRemoval(ruleset.table));
  if (removed.kind === 'failed') return removed;
  const { routing } = ruleset;
  await Promise.all(
    routing.families.map(async (family) =>
      runIp(netnsFd, family, renderRoutingRemoval(routing), () => true),
    ),
  );
  return APPLIED;
}

/** What is in force in a namespace; undefined when it can't be asked. */
export async function readRules(
  netnsFd: number,
  ruleset: Ruleset,
): Promise<RulesListing | undefined> {
  const { routing } = ruleset;
  const input = `rule show pref ${routing.preference}\nroute show table ${routing.table}\n`;
  const list = ['--stateless', 'list', 'table', 'inet', ruleset.table];
  const wanted = families(netnsFd, routing);
  const [table, ...routes] = await Promise.all([
    runCommand('nft', list, { netnsFd }),
    // A table without a route is none, and an error.
    ...wanted.map(async (family) =>
      runCommand('ip', [option(family), '-force', '-batch', '-'], { netnsFd, input }),
    ),
  ]);
  if (table.kind === 'failed') return undefined;
  const listed = wanted.flatMap((family, index) => {
    const answer = routes[index];
    return answer?.kind === 'exited' ? [{ family, text: answer.stdout }] : [];
  });
  return listed.length === wanted.length ? { table: table.stdout, routing: listed } : undefined;
}

async function loadBatch(netnsFd: number, batch: string): Promise<RulesResult> {
  const loaded = await applyNft(netnsFd, batch);
  return loaded.kind === 'applied' ? APPLIED : { kind: 'failed', message: loaded.message };
}

/** Runs all lines; those that fail with something else than what `isFine` says are the answer. */
async function runIp(
  netnsFd: number,
  family: Family,
  batch: string,
  isFine: (problem: string) => boolean,
): Promise<RulesResult> {
  const args = [option(family), '-force', '-batch', '-'];
  const ended = await runCommand('ip', args, { netnsFd, input: batch });
  if (ended.kind === 'failed') return ended;
  if (ended.code === 0) return APPLIED;
  const problems = ended.stderr
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('Command failed'))
    .filter((line) => !isFine(line));
  if (problems.length === 0) return APPLIED;
  const message = `Cannot set the routing (ip ${option(family)}): ${problems.join('; ')}`;
  return { kind: 'failed', message };
}

function isThereAlready(problem: string): boolean {
  return problem === 'RTNETLINK answers: File exists';
}

/** Without IPv6 on its loopback device a namespace refuses the route, and needs none. */
function families(netnsFd: number, routing: LocalRouting): readonly Family[] {
  return routing.families.filter((family) => family === 'ip' || hasIpv6(netnsFd));
}

function hasIpv6(netnsFd: number): boolean {
  return inNetns(netnsFd, () => {
    try {
      // A process sees the settings of the namespace that it is in.
      return readFileSync('/proc/sys/net/ipv6/conf/lo/disable_ipv6', 'utf8').trim() === '0';
    } catch {
      return false; // the kernel has no IPv6 at all
    }
  });
}

function option(family: Family): string {
  return family === 'ip' ? '-4' : '-6';
}
