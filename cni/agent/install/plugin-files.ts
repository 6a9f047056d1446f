import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { compiledCodeEnvironment } from '#common/compile-cache.ts';

import { PLUGIN_TYPE } from './conflist.ts';
import { copyIfChanged, removeTemporaries, writeIfChanged } from './files.ts';

export interface PluginSource {
  /** The directory of this project. */
  readonly project: string;
  /** A Node, to be copied with it. */
  readonly node: string;
  readonly nodeVersion: string;
  /** What the node has already: then nothing is copied. Paths as the node sees them. */
  readonly onHost: { readonly node: string; readonly project: string } | undefined;
}

/** Beside the plugins; runtimes look for plugins by name and don't list the directory. */
const OWN_DIRECTORY = '.istio-cni';
const MAIN = 'cni/plugin/main.ts';
/** All that the plugin may import; the layers see to it. */
const DIRECTORIES = ['cni/plugin'];
const FILES = ['package.json', 'kube/selector.ts'];

/**
 * Puts the plugin into the node's plugin directory: a launcher under the plugin's name, and, as nodes have no Node, one
 * beside it with the plugin's few files. Answers whether anything had to be written.
 */
export function installPlugin(directory: string, source: PluginSource): boolean {
  const own = join(directory, OWN_DIRECTORY);
  removeTemporaries(directory);
  let changed = false;
  if (source.onHost === undefined) {
    changed = copyIfChanged(source.node, join(own, nodeName(source)), 0o755);
    for (const file of pluginFiles(source.project)) {
      const text = readFileSync(join(source.project, file), 'utf8');
      changed = writeIfChanged(join(own, file), text, 0o644) || changed;
    }
  }
  // Last: whoever finds it finds the rest.
  return writeIfChanged(join(directory, PLUGIN_TYPE), launcher(source), 0o755) || changed;
}

/** Takes it away again. */
export function removePlugin(directory: string): void {
  rmSync(join(directory, PLUGIN_TYPE), { force: true });
  rmSync(join(directory, OWN_DIRECTORY), { recursive: true, force: true });
}

function pluginFiles(project: string): readonly string[] {
  const listed = DIRECTORIES.flatMap((directory) =>
    readdirSync(join(project, directory)).map((name) => `${directory}/${name}`),
  );
  return [...FILES, ...listed.filter((file) => file.endsWith('.ts'))];
}

function launcher(source: PluginSource): string {
  const { onHost } = source;
  const own = `\${0%/*}/${OWN_DIRECTORY}`;
  const program =
    onHost === undefined
      ? `"${own}/${nodeName(source)}" "${own}/${MAIN}"`
      : `"${onHost.node}" "${onHost.project}/${MAIN}"`;
  const cache =
    onHost === undefined
      ? `NODE_COMPILE_CACHE="${own}/cache"`
      : Object.entries(compiledCodeEnvironment(onHost.project))
          .map(([name, value]) => `${name}="${value}"`)
          .join(' ');
  return [
    '#!/bin/sh',
    '# The CNI plugin of the mesh; written by its node agent, which will repair what is changed here.',
    // A start takes a third of the time with compiled code; where it can't be written, nothing happens.
    `${cache} exec ${program}`,
    '',
  ].join('\n');
}

/** With the version: one that is in use is not overwritten. */
function nodeName({ nodeVersion }: PluginSource): string {
  return `node-${nodeVersion}`;
}
