import { parseArgs } from 'node:util';

import { type FigureGroup, figureGroups } from './figures.ts';
import { BASELINE, DIRECT, OURS } from './statistics.ts';

/** A node tunnel that is measured in one more column: any program with our environment variables. */
export interface Peer {
  readonly name: string;
  /** The program and its arguments. */
  readonly command: readonly [string, ...string[]];
}

export interface BenchOptions {
  /** How long each load runs, in seconds. */
  readonly seconds: number;
  /** How often every column is measured; the columns take turns. */
  readonly rounds: number;
  readonly groups: readonly FigureGroup[];
  /** Built-in columns, in the order of the table. */
  readonly proxies: readonly BuiltIn[];
  readonly peers: readonly Peer[];
  /** File for the result as JSON. */
  readonly out?: string;
}

export type BuiltIn = typeof DIRECT | typeof BASELINE | typeof OURS;
const builtIns: readonly BuiltIn[] = [DIRECT, BASELINE, OURS];

export type GivenOptions =
  | { readonly kind: 'run'; readonly options: BenchOptions }
  | { readonly kind: 'help' }
  | { readonly kind: 'wrong'; readonly problems: readonly string[] };

// As long as the published figures were measured with; shorter runs weigh cold code more.
const SECONDS_DEFAULT = 6;
const SECONDS_MAX = 600;
const ROUNDS_DEFAULT = 3;
const ROUNDS_MAX = 50;

export const usage: string = `Usage: npm run bench -- [options]

Measures this project's node tunnel and haproxy (TCP mode, mutual TLS) on the same path in the same run.
Needs Linux, root or user namespaces, and what it installs as root on Debian:
haproxy iperf3 nginx wrk h2load curl openssl ip nft nsenter unshare.

  --seconds N            length of each load in seconds (default ${SECONDS_DEFAULT}, 1 to ${SECONDS_MAX})
  --rounds N             times every column is measured, in turns (default ${ROUNDS_DEFAULT}, 1 to ${ROUNDS_MAX})
  --only GROUP,...       measure only: ${figureGroups.join(', ')}
  --proxies NAME,...     columns: ${builtIns.join(', ')} (default ${BASELINE},${OURS})
  --peer NAME=COMMAND    one more column: another node tunnel, started with the same environment;
                         may be given more than once
  --out FILE             write every sample and the summary as JSON
  --help                 show this text`;

/** Reads the command line (without the program's name); collects every problem. */
export function readOptions(args: readonly string[]): GivenOptions {
  let values: ReturnType<typeof parse>;
  try {
    values = parse(args);
  } catch (error) {
    return { kind: 'wrong', problems: [error instanceof Error ? error.message : String(error)] };
  }
  if (values.help === true) return { kind: 'help' };
  const problems: string[] = [];
  const peers = (values.peer ?? []).map(readPeer);
  const options: BenchOptions = {
    seconds: readCount('--seconds', values.seconds, [SECONDS_DEFAULT, SECONDS_MAX], problems),
    rounds: readCount('--rounds', values.rounds, [ROUNDS_DEFAULT, ROUNDS_MAX], problems),
    groups: readList('--only', values.only, figureGroups, problems) ?? figureGroups,
    proxies: readList('--proxies', values.proxies, builtIns, problems) ?? [BASELINE, OURS],
    peers: peers.filter((peer) => typeof peer !== 'string'),
    ...(values.out === undefined ? {} : { out: values.out }),
  };
  problems.push(...peers.filter((peer) => typeof peer === 'string'));
  problems.push(...repeatedNames([...options.proxies, ...options.peers.map((peer) => peer.name)]));
  return problems.length > 0 ? { kind: 'wrong', problems } : { kind: 'run', options };
}

function parse(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    options: {
      seconds: { type: 'string' },
      rounds: { type: 'string' },
      only: { type: 'string' },
      proxies: { type: 'string' },
      peer: { type: 'string', multiple: true },
      out: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  }).values;
}

function readCount(
  name: string,
  given: string | undefined,
  [initial, most]: readonly [initial: number, most: number],
  problems: string[],
): number {
  if (given === undefined) return initial;
  const count = /^\d+$/.test(given) ? Number(given) : Number.NaN;
  if (count >= 1 && count <= most) return count;
  problems.push(`Cannot use ${name} "${given}": want a whole number from 1 to ${most}`);
  return initial;
}

function readList<T extends string>(
  name: string,
  given: string | undefined,
  known: readonly T[],
  problems: string[],
): readonly T[] | undefined {
  if (given === undefined) return undefined;
  const names = given.split(',').map((each) => each.trim());
  const unknown = names.filter((each) => !known.some((one) => one === each));
  for (const each of unknown) {
    problems.push(`Cannot use ${name} "${each}": want one of ${known.join(', ')}`);
  }
  return known.filter((each) => names.includes(each));
}

function readPeer(given: string): Peer | string {
  const [, name, line] = /^([\w.-]+)=(.*)$/s.exec(given) ?? [];
  const [program, ...args] = line?.trim().split(/\s+/) ?? [];
  if (name === undefined || program === undefined || program === '') {
    return `Cannot use --peer "${given}": want NAME=COMMAND`;
  }
  return { name, command: [program, ...args] };
}

function repeatedNames(names: readonly string[]): string[] {
  const repeated = names.filter((name, index) => names.indexOf(name) !== index);
  return repeated.map((name) => `Cannot use the column name "${name}" twice`);
}
