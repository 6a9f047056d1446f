/** What is the same for everything in this mesh. */
export interface MeshSettings {
  /** The trust domain of all identities, such as `cluster.local`. */
  readonly trustDomain: string;
  /** The suffix of service host names, such as `cluster.local`. */
  readonly domain: string;
  /** Policies in this namespace hold for the whole mesh. */
  readonly rootNamespace: string;
  /** Where the control plane runs; its labels say the cluster's network. */
  readonly systemNamespace: string;
  readonly clusterId: string;
  /** Ours, of several control planes: gateways say whose they are. */
  readonly revision: string;
  /** The image that waypoints run. */
  readonly waypointImage: string;
}

/** The trust domain that node tunnels assume when none is sent. */
export const DEFAULT_TRUST_DOMAIN = 'cluster.local';

/** The port that tunnels arrive at, of waypoints and gateways as of pods. */
export const TUNNEL_PORT = 15_008;
