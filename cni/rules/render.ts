import { unreachable } from '#common/assert.ts';

import type { Action, Chain, LocalRouting, Mark, Match, Rule, Ruleset } from './ruleset.ts';

/**
 * One batch for `nft -f -`: replaces our table as a whole, in one transaction. Old rules apply until
 * the new ones do, and a batch that fails leaves the old ones in place. Loading it twice is harmless.
 */
export function renderRuleset(ruleset: Ruleset): string {
  return [
    removalLines(ruleset.table),
    `table inet ${ruleset.table} {`,
    ruleset.chains.map(renderChain).join('\n'),
    '}',
    '',
  ].join('\n');
}

/** One batch for `nft -f -` that removes our table; absence is no error. */
export function renderRemoval(table: string): string {
  return `${removalLines(table)}\n`;
}

/** Lines for `ip -4 -batch -` or `ip -6 -batch -`. `rule add` refuses a rule that exists: remove first. */
export function renderRouting(routing: LocalRouting): string {
  return `rule add ${ruleSelector(routing)}\nroute replace local default dev lo table ${routing.table}\n`;
}

/** Lines for `ip -4 -force -batch -` or `ip -6 …`: each fails, harmlessly, when there is nothing to remove. */
export function renderRoutingRemoval(routing: LocalRouting): string {
  return `rule del ${ruleSelector(routing)}\nroute flush table ${routing.table}\n`;
}

function removalLines(table: string): string {
  // `delete` fails on a table that is not there, and `destroy` is newer than the nft of many hosts.
  return `table inet ${table}\ndelete table inet ${table}`;
}

function ruleSelector(routing: LocalRouting): string {
  return `pref ${routing.preference} fwmark ${hex(routing.mark.value)}/${hex(routing.mark.mask)} lookup ${routing.table}`;
}

function renderChain(chain: Chain): string {
  // As a number: some versions of nft refuse the word "dstnat" on the output hook.
  const head = `    type ${chain.type} hook ${chain.hook} priority ${chain.priority}; policy accept;`;
  // A rule and the closing brace must not share a line: older nft refuses that.
  return [`  chain ${chain.name} {`, head, ...chain.rules.map(renderRule), '  }'].join('\n');
}

function renderRule(rule: Rule): string {
  const matches = rule.matches.map(renderMatch).join(' ');
  return `    ${matches} counter ${renderAction(rule.action)} comment "${rule.why}"`;
}

function renderMatch(match: Match): string {
  switch (match.kind) {
    case 'protocol':
      return `meta l4proto ${match.protocol}`;
    case 'port':
      return `${match.protocol} ${match.side === 'source' ? 'sport' : 'dport'} ${portSet(match.ports)}`;
    case 'address':
      return `${match.family} ${match.side === 'source' ? 'saddr' : 'daddr'} ${not(match)}${match.address}`;
    case 'packet-mark':
      return `meta mark & ${hex(match.mark.mask)} ${match.negated ? '!=' : '=='} ${hex(match.mark.value)}`;
    case 'connection-mark':
      return `ct mark & ${hex(match.mark.mask)} == ${hex(match.mark.value)}`;
    case 'leaves-by-loopback':
      return `oifname ${not(match)}"lo"`;
    case 'arrives-by-loopback':
      return 'iifname "lo"';
    case 'not-the-first-packet':
      return 'tcp flags & (fin|syn|rst|ack) != syn';
    case 'not-redirected':
      return 'ct status & dnat == 0';
    default:
      return unreachable(match);
  }
}

function renderAction(action: Action): string {
  switch (action.kind) {
    case 'accept':
    case 'drop':
      return action.kind;
    case 'redirect':
      return `redirect to :${action.port}`;
    case 'remember':
      return `ct mark set ct mark & ${hex(othersBits(action.mark))} | ${hex(action.mark.value)}`;
    case 'copy-connection-mark':
      return 'meta mark set ct mark';
    case 'conntrack-zone':
      return `ct zone set ${action.zone}`;
    default:
      return unreachable(action);
  }
}

function not(match: { readonly negated?: true }): string {
  return match.negated ? '!= ' : '';
}

function portSet(ports: readonly number[]): string {
  return ports.length === 1 ? String(ports[0]) : `{ ${ports.join(', ')} }`;
}

function othersBits(mark: Mark): number {
  return ~mark.mask >>> 0;
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
