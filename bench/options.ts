import { parseArgs } from 'node:util';

import {
  type Comparison,
  type FigureGroup,
  groupsOf,
  tunnelComparison,
  waypointComparison,
} from './figures.ts';
import { DIRECT, LOGGED, OURS } from './statistics.ts';

/** A node tunnel that is measured in one more column: any program with our environment variables. */
export interface Peer {
  readonly name: string;
  /** The program and its arguments. */
  readonly command: readonly [string, ...string[]];
}

/** What is measured. */
export type Subject = 'tunnels' | 'waypoint';

export interface BenchOptions {
  readonly subject: Subject;
  /** How long each load runs, in seconds. */
  readonly seconds: number;
  /** How often every column is measured; the columns take turns. */
  readonly rounds: number;
  readonly groups: readonly FigureGroup[];
  /** Built-in columns, in the order of the table. */
  readonly proxies: readonly string[];
  readonly peers: readonly Peer[];
  /** Measure nothing: build the path of the one column, say how to load it, and stay. */
  readonly hold: boolean;
  /** File for the result as JSON. */
  readonly out?: string;
}

interface Choice {
  readonly comparison: Comparison;
  /** Columns that need no further word, in the order of the table. */
  readonly builtIns: readonly string[];
  readonly initial: readonly string[];
}

const { baseline: haproxy } = tunnelComparison;
const { baseline: envoy } = waypointComparison;
const choices: Readonly<Record<Subject, Choice>> = {
  tunnels: {
    comparison: tunnelComparison,
    builtIns: [DIRECT, haproxy, OURS],
    initial: [haproxy, OURS],
  },
  // What a waypoint adds is found only against the path without one.
  waypoint: {
    comparison: waypointComparison,
    builtIns: [DIRECT, envoy, OURS, LOGGED],
    initial: [DIRECT, envoy, OURS],
  },
};

export function comparisonOf(subject: Subject): Comparison {
  return choices[subject].comparison;
}

export type GivenOptions =
  | { readonly kind: 'run'; readonly options: BenchOptions }
  | { readonly kind: 'help' }
  | { readonly kind: 'wrong'; readonly problems: readonly string[] };

// As long as the published figures were measured with; shorter runs weigh cold code more.
const SECONDS_DEFAULT = 6;
const SECONDS_MAX = 600;
const ROUNDS_DEFAULT = 3;
const ROUNDS_MAX = 50;

export const usage: string = `Usage: npm run bench -- [waypoint] [options]

Measures this project's node tunnel and haproxy (TCP mode, mutual TLS) on the same path in the same run.
With "waypoint": this project's waypoint and a real Envoy between two node tunnels, and the tunnels without either.
Needs Linux, root or user namespaces, and what it installs as root on Debian:
haproxy iperf3 nginx wrk h2load curl openssl ip nft nsenter unshare. Envoy also needs python3 with venv.

  --seconds N            length of each load in seconds (default ${SECONDS_DEFAULT}, 1 to ${SECONDS_MAX})
  --rounds N             times every column is measured, in turns (default ${ROUNDS_DEFAULT}, 1 to ${ROUNDS_MAX})
  --only GROUP,...       measure only: ${groupsOf(tunnelComparison).join(', ')}
                         waypoint: ${groupsOf(waypointComparison).join(', ')}
  --proxies NAME,...     columns: ${choices.tunnels.builtIns.join(', ')} (default ${choices.tunnels.initial.join(',')})
                         waypoint: ${choices.waypoint.builtIns.join(', ')} (default ${choices.waypoint.initial.join(',')};
                         logged: ours with its access log; neither Envoy nor ours have one otherwise)
  --peer NAME=COMMAND    one more column: another node tunnel, started with the same environment;
                         may be given more than once
  --hold                 measure nothing: build the path of the one column that --proxies names, say how
                         to load it and which processes are its proxies, and stay until Ctrl-C
  --out FILE             write every sample and the summary as JSON
  --help                 show this text`;

/** Reads the command line (without the program's name); collects every problem. */
export function readOptions(args: readonly string[]): GivenOptions {
  let parsed: ReturnType<typeof parse>;
  try {
    parsed = parse(args);
  } catch (error) {
    return { kind: 'wrong', problems: [error instanceof Error ? error.message : String(error)] };
  }
  const { values, positionals } = parsed;
  if (values.help === true) return { kind: 'help' };
  const problems: string[] = [];
  const subject = readSubject(positionals, problems);
  const { comparison, builtIns, initial } = choices[subject];
  const groups = groupsOf(comparison);
  const peers = (values.peer ?? []).map(readPeer);
  const options: BenchOptions = {
    subject,
    seconds: readCount('--seconds', values.seconds, [SECONDS_DEFAULT, SECONDS_MAX], problems),
    rounds: readCount('--rounds', values.rounds, [ROUNDS_DEFAULT, ROUNDS_MAX], problems),
    groups: readList('--only', values.only, groups, problems) ?? groups,
    proxies: readList('--proxies', values.proxies, builtIns, problems) ?? initial,
    peers: peers.filter((peer) => typeof peer !== 'string'),
    hold: values.hold === true,
    ...(values.out === undefined ? {} : { out: values.out }),
  };
  problems.push(...peers.filter((peer) => typeof peer === 'string'));
  const columns = [...options.proxies, ...options.peers.map((peer) => peer.name)];
  problems.push(...repeatedNames(columns));
  if (subject === 'waypoint' && peers.length > 0) {
    problems.push('Cannot use --peer with waypoint: it adds a node tunnel');
  }
  if (options.hold && columns.length !== 1) {
    problems.push(`Cannot hold ${columns.join(', ')} at once: name one column with --proxies`);
  }
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
      hold: { type: 'boolean' },
      out: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
    allowPositionals: true,
  });
}

function readSubject(positionals: readonly string[], problems: string[]): Subject {
  const [first, ...more] = positionals;
  for (const each of first === undefined || first === 'waypoint' ? more : positionals) {
    problems.push(`Cannot measure "${each}": want "waypoint", or nothing for node tunnels`);
  }
  return first === 'waypoint' ? 'waypoint' : 'tunnels';
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
