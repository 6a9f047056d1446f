import type { Chain, Family, LocalRouting, Ruleset } from './ruleset.ts';

/** What is in force in a namespace, as the kernel's tools print it. */
export interface RulesListing {
  /** Of our table, without counters; empty when there is none. */
  readonly table: string;
  /** Rules and routes, by family. */
  readonly routing: readonly { readonly family: Family; readonly text: string }[];
}

/**
 * What of a ruleset is missing, or there too much; undefined when all of it is in force. Rules are told by their
 * comments: each version of nft writes expressions in its own way. Pure.
 */
export function findDifference(listing: RulesListing, ruleset: Ruleset): string | undefined {
  const chains = readChains(listing.table);
  for (const chain of ruleset.chains) {
    const found = chains.get(chain.name);
    if (found === undefined) return `chain "${chain.name}" is missing`;
    if (!isHooked(found[0] ?? '', chain)) return `chain "${chain.name}" is not where it should be`;
    const comments = found.flatMap((line) => /comment "(.*)"$/.exec(line)?.[1] ?? []);
    if (found.length !== chain.rules.length + 1 || comments.join('\n') !== whys(chain)) {
      return `the rules of chain "${chain.name}" are others`;
    }
  }
  for (const { family, text } of listing.routing) {
    const missing = missingRouting(text, ruleset.routing);
    if (missing !== undefined) return `the ${missing} for marked packets is missing (${family})`;
  }
  return undefined;
}

/** By name, the lines of each chain. */
function readChains(table: string): ReadonlyMap<string, readonly string[]> {
  const chains = new Map<string, string[]>();
  let lines: string[] | undefined;
  for (const line of table.split('\n').map((each) => each.trim())) {
    const name = /^chain (\S+) \{$/.exec(line)?.[1];
    if (name !== undefined) {
      lines = [];
      chains.set(name, lines);
    } else if (line === '}') lines = undefined;
    else if (line !== '') lines?.push(line);
  }
  return chains;
}

/** nft names some priorities, in its own words; the rest of the line is the same everywhere. */
function isHooked(head: string, chain: Chain): boolean {
  const start = `type ${chain.type} hook ${chain.hook} priority `;
  return head.startsWith(start) && head.endsWith('policy accept;');
}

function whys({ rules }: Chain): string {
  return rules.map(({ why }) => why).join('\n');
}

function missingRouting(
  text: string,
  { mark, preference, table }: LocalRouting,
): string | undefined {
  const rule = `fwmark ${hex(mark.value)}/${hex(mark.mask)} lookup ${table}`;
  const lines = text.split('\n').map((line) => line.trim());
  if (!lines.some((line) => line.startsWith(`${preference}:`) && line.endsWith(rule)))
    return 'rule';
  return lines.some((line) => line.startsWith('local default dev lo')) ? undefined : 'route';
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
