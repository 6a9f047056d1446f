/** What tells the mesh's configuration, and its changes as events. */
export interface MeshConfiguration {
  /** Settles when the first state is known; the problems when it can't be used. */
  load(): Promise<readonly string[]>;
  /** Takes up changes from now on. */
  follow(): void;
  close(): void;
}
