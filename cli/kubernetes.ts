import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { env } from 'node:process';

import { KubeClient } from '#kube/client.ts';
import { type KubeConfig, readKubeconfig } from '#kube/config.ts';

/** Which cluster, and which namespace of it, a command is about: as kubectl is told. */
export interface ClusterOptions {
  readonly kubeconfig?: string | undefined;
  readonly context?: string | undefined;
  readonly namespace?: string | undefined;
}

export interface ClusterAccess {
  readonly client: KubeClient;
  readonly namespace: string;
}

/**
 * Finds the user's cluster as kubectl does: in the named file, else in those of `$KUBECONFIG`, else in
 * `~/.kube/config`. Of several files the first counts that has the context. @throws Error that says what is missing.
 */
export function openCluster(options: ClusterOptions): ClusterAccess {
  const { credentials, namespace } = findConfig(options, env);
  return {
    client: new KubeClient({ ...credentials, userAgent: 'ambit' }),
    namespace: options.namespace ?? namespace,
  };
}

/** @throws Error that says what is missing. */
export function findConfig(
  { kubeconfig, context }: ClusterOptions,
  environment: NodeJS.ProcessEnv,
): KubeConfig {
  const files = kubeconfig === undefined ? defaultFiles(environment) : [kubeconfig];
  const present = files.filter((file) => existsSync(file));
  const problems: unknown[] = [];
  for (const file of present) {
    try {
      return readKubeconfig(readFileSync(file, 'utf8'), {
        directory: dirname(file),
        ...(context === undefined ? {} : { context }),
      });
    } catch (error) {
      problems.push(error);
    }
  }
  if (problems.length > 0) throw problems[0];
  throw new Error(
    `Cannot find a cluster: there is no ${files.join(', nor ')}; want --kubeconfig FILE or the variable KUBECONFIG, as "ambit up" prints it`,
  );
}

function defaultFiles(environment: NodeJS.ProcessEnv): readonly string[] {
  const files = (environment['KUBECONFIG'] ?? '').split(delimiter).filter((file) => file !== '');
  return files.length > 0 ? files : [join(environment['HOME'] ?? homedir(), '.kube/config')];
}
