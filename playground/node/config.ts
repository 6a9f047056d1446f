import { readFileSync } from 'node:fs';

import type { ImageProgram } from './images.ts';

/** The settings of one node's kubelet, as the supervisor writes them down. Holds keys: readable by its owner only. */
export interface KubeletConfig {
  readonly nodeName: string;
  readonly address: string;
  readonly podRange: string;
  readonly clusterDomain: string;
  readonly clusterDns: string;
  readonly serviceRange: string;
  /** Pods of other nodes and of this one: what comes from elsewhere is masqueraded on the way to a service. */
  readonly clusterRange: string;
  readonly images: Readonly<Record<string, ImageProgram>>;
  /** Directory of the node's control groups; undefined where there are none to be had. */
  readonly cgroups?: string;
  readonly userNamespace: boolean;
  /** Undefined: a node on its own, with the manifests of `manifests`. */
  readonly apiServer?: { readonly url: string };
  readonly manifests?: string;
  /** The node's certificate, as client of the API server and as server. */
  readonly certificatePem: string;
  readonly privateKeyPem: string;
  /** Who signs those of the others. */
  readonly authorityPem: string;
}

/** Throws when the file is not there or not JSON. */
export function readKubeletConfig(path: string): KubeletConfig {
  return JSON.parse(readFileSync(path, 'utf8')) as KubeletConfig;
}
