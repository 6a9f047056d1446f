import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';

import { builtInImages } from './images/built-in.ts';
import { NODES_MAX } from './network.ts';
import { type ImageProgram, parseImageMapping } from './node/images.ts';

/** What the command line says. */
export interface PlaygroundConfig {
  readonly name: string;
  /** The cluster's own directory. */
  readonly stateDirectory: string;
  readonly nodes: number;
  readonly images: ReadonlyMap<string, ImageProgram>;
  /** Of the API server on the machine's loopback; 0: a free one. */
  readonly port: number;
  /** What is to be done: to run a cluster, to end the one that runs, or to remove what one that has ended has left. */
  readonly task: 'run' | 'down' | 'sweep';
  /** Set when this process is inside the cluster's namespaces already. */
  readonly inside: Inside | undefined;
}

/** What the process outside of the cluster's namespaces tells the one inside. */
export interface Inside {
  /** As which process the machine knows the first one in the cluster. */
  readonly outsidePid: number;
  /** A socket that listens on the machine's loopback. */
  readonly listener: number;
}

export type PlaygroundConfigRead =
  | { readonly kind: 'config'; readonly config: PlaygroundConfig }
  | { readonly kind: 'refused'; readonly problems: readonly string[] };

const PORT_MAX = 65_535;

export const usage: string = `Usage: node playground/main.ts --state DIRECTORY [options]

Runs a cluster until it gets SIGTERM or SIGINT, or its standard input ends without a last line "stay". Prints "serving",
the URL of its API server and the path of its kubeconfig when these can be used, and "ready" when its nodes are. Needs root
or user namespaces.

  --state DIRECTORY       where clusters keep their directories
  --name NAME             of this cluster, and of its directory in there (default: ambit)
  --nodes N               1 to ${NODES_MAX} (default: 2)
  --image NAME=PROGRAM    the image NAME runs PROGRAM of this machine; repeatable
  --images FILE           such lines from a file; empty lines and those that begin with # don't count
  --port N                of the API server, on this machine's loopback (default: a free one)
  --down                  ends the cluster of this name instead, and removes everything that it has left
  --sweep                 only removes what one that has ended has left
`;

/** Reads the command line; every problem at once. */
export function readConfig(args: readonly string[]): PlaygroundConfigRead {
  const given = tryParse(args);
  if (typeof given === 'string') return { kind: 'refused', problems: [given] };
  const problems: string[] = [];
  const { state = '', name = 'ambit', nodes = '2', port = '0' } = given;
  if (state === '') problems.push('--state is missing: want a directory');
  if (!/^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$/.test(name)) {
    problems.push(
      `--name ${JSON.stringify(name)}: want small letters, digits and "-", at most 32, a letter first`,
    );
  }
  if (!/^\d{1,2}$/.test(nodes) || Number(nodes) < 1 || Number(nodes) > NODES_MAX) {
    problems.push(`--nodes ${JSON.stringify(nodes)}: want a number from 1 to ${NODES_MAX}`);
  }
  // Those of the machine are not to be seen in the cluster.
  if (/^\/(?:run|proc|var\/run)(?:\/|$)/.test(resolve(state))) {
    problems.push(
      `--state ${JSON.stringify(state)}: want a directory outside of /run and /proc (for the command ambit: in XDG_STATE_HOME)`,
    );
  }
  if (!/^\d{1,5}$/.test(port) || Number(port) > PORT_MAX) {
    problems.push(`--port ${JSON.stringify(port)}: want a number from 0 to ${PORT_MAX}`);
  }
  const images = readImages(given.image ?? [], given.images, problems);
  if (problems.length > 0) return { kind: 'refused', problems };
  const outsidePid = given['outside-pid'];
  const config: PlaygroundConfig = {
    name,
    stateDirectory: resolve(state, name),
    nodes: Number(nodes),
    images,
    port: Number(port),
    task: given.down === true ? 'down' : given.sweep === true ? 'sweep' : 'run',
    inside:
      outsidePid === undefined
        ? undefined
        : { outsidePid: Number(outsidePid), listener: Number(given.listener) },
  };
  return { kind: 'config', config };
}

/** The built-in images, then those of the file, then those of the command line. */
function readImages(
  mappings: readonly string[],
  file: string | undefined,
  problems: string[],
): ReadonlyMap<string, ImageProgram> {
  const images = new Map(builtInImages());
  const lines: string[] = [];
  if (file !== undefined) {
    const text = readText(file);
    if (typeof text === 'string') lines.push(...text.split('\n'));
    else problems.push(`--images ${JSON.stringify(file)}: ${text.problem}`);
  }
  const fromFile = lines
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
  for (const text of [...fromFile, ...mappings]) {
    const mapping = parseImageMapping(text);
    if (mapping.kind === 'ok') images.set(mapping.name, mapping.program);
    else problems.push(mapping.problem);
  }
  return images;
}

function readText(file: string): string | { readonly problem: string } {
  if (!existsSync(file)) return { problem: 'there is no such file' };
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) };
  }
}

interface Given {
  readonly state?: string | undefined;
  readonly name?: string | undefined;
  readonly nodes?: string | undefined;
  readonly port?: string | undefined;
  readonly down?: boolean | undefined;
  readonly sweep?: boolean | undefined;
  readonly image?: readonly string[] | undefined;
  readonly images?: string | undefined;
  readonly listener?: string | undefined;
  readonly 'outside-pid'?: string | undefined;
}

function tryParse(args: readonly string[]): Given | string {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  const options = {
    state: text,
    name: text,
    nodes: text,
    port: text,
    images: text,
    down: flag,
    sweep: flag,
    listener: text,
    'outside-pid': text,
    image: { type: 'string', multiple: true },
  } as const;
  try {
    return parseArgs({ args: [...args], options, strict: true, allowPositionals: false }).values;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
