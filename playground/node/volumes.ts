import { chmodSync, chownSync, mkdirSync, realpathSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';

import type { Pod, Volume, VolumeMount } from '#kube/resources.ts';

import { writeFilesAtomically } from './atomic-files.ts';
import type { ClusterAccess, IssuedToken } from './cluster-access.ts';
import type { ContainerMount } from './container-script.ts';
import type { PodObjects } from './environment.ts';
import type { PodPlace } from './field-value.ts';
import { prepareHostPath } from './host-path.ts';
import { type TokenFile, type VolumeFile, volumeFiles } from './volume-files.ts';

/** A token is replaced when four fifths of its time are over, or after a day. */
const REFRESH_AT = 0.8;
const REFRESH_MS_MAX = 24 * 3_600_000;

interface HeldToken extends IssuedToken {
  readonly refreshAtMs: number;
}

/** The volumes of one pod: directories of the node. */
export class PodVolumes {
  readonly #pod: Pod;
  readonly #directory: string;
  readonly #access: ClusterAccess;
  readonly #objects: PodObjects;
  readonly #tokens = new Map<string, HeldToken>();

  constructor(pod: Pod, directory: string, access: ClusterAccess, objects: PodObjects) {
    this.#pod = pod;
    this.#directory = directory;
    this.#access = access;
    this.#objects = objects;
  }

  /**
   * Makes all volumes, or brings those that show objects and tokens up to date. Answers the problem of the first that
   * can't be made, with the volume's name; the others are there.
   */
  async setUp(place: PodPlace): Promise<string | undefined> {
    let problem: string | undefined;
    for (const volume of this.#pod.spec.volumes ?? []) {
      const found = await this.#setUpVolume(volume, place);
      if (found !== undefined) {
        problem ??= `MountVolume.SetUp failed for volume ${JSON.stringify(volume.name)} : ${found}`;
      }
    }
    return problem;
  }

  /** What a container mounts, outermost first, or the problem of one of its mounts. */
  mounts(wanted: readonly VolumeMount[]): readonly ContainerMount[] | string {
    const mounts: ContainerMount[] = [];
    for (const mount of wanted) {
      const volume = this.#pod.spec.volumes?.find(({ name }) => name === mount.name);
      if (volume === undefined) return `volume ${JSON.stringify(mount.name)} is not there`;
      const source = this.#source(volume, mount.subPath ?? '');
      if (source === undefined) {
        return `failed to prepare subPath for volumeMount ${JSON.stringify(mount.name)}: ${JSON.stringify(mount.subPath)} is not in the volume`;
      }
      mounts.push({
        source,
        target: mount.mountPath,
        kind: statSync(source).isDirectory() ? 'directory' : 'file',
        readOnly: mount.readOnly === true || showsObjects(volume),
        propagation: (mount.mountPropagation ?? 'None') as ContainerMount['propagation'],
      });
    }
    return mounts.toSorted((a, b) => depth(a.target) - depth(b.target));
  }

  remove(): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async #setUpVolume(volume: Volume, place: PodPlace): Promise<string | undefined> {
    if (volume.hostPath !== undefined) {
      return prepareHostPath(volume.hostPath.path, volume.hostPath.type ?? '');
    }
    const directory = this.#directoryOf(volume);
    if (volume.emptyDir !== undefined) {
      mkdirSync(directory, { recursive: true });
      chmodSync(directory, 0o777);
      return undefined;
    }
    const found = volumeFiles(volume, this.#pod, place, this.#objects);
    if (found.kind === 'refused') return found.problem;
    if (found.kind === 'other') {
      return 'the playground has emptyDir, hostPath, configMap, secret, projected and downwardAPI volumes only';
    }
    const files = [...found.files];
    for (const token of found.tokens) {
      try {
        files.push(await this.#tokenFile(token, `${volume.name}/${token.path}`));
      } catch (error) {
        return `failed to fetch token: ${error instanceof Error ? error.message : String(error)}`;
      }
    }
    mkdirSync(dirname(directory), { recursive: true });
    writeFilesAtomically(directory, files);
    this.#giveToGroup(directory);
    return undefined;
  }

  async #tokenFile(token: TokenFile, key: string): Promise<VolumeFile> {
    const nowMs = Date.now();
    let held = this.#tokens.get(key);
    if (held === undefined || nowMs >= held.refreshAtMs) {
      const issued = await this.#access.token(this.#pod, token.audience, token.expirationSeconds);
      const lifeMs = issued.expiresAtMs - nowMs;
      held = { ...issued, refreshAtMs: nowMs + Math.min(lifeMs * REFRESH_AT, REFRESH_MS_MAX) };
      this.#tokens.set(key, held);
    }
    return { path: token.path, content: Buffer.from(held.token), mode: token.mode };
  }

  /** Undefined when the path of a volume that shows objects does not exist in it. */
  #source(volume: Volume, subPath: string): string | undefined {
    const base = volume.hostPath?.path ?? this.#directoryOf(volume);
    if (subPath === '') return base;
    if (subPath.split('/').includes('..')) return undefined;
    const path = join(base, subPath);
    if (statSync(path, { throwIfNoEntry: false }) === undefined) {
      if (showsObjects(volume)) return undefined;
      mkdirSync(path, { recursive: true });
    }
    // Through the links of an atomically written volume: the mount stays with the file of now.
    return realpathSync(path);
  }

  #directoryOf(volume: Volume): string {
    return join(this.#directory, volume.name);
  }

  /** `fsGroup`: the files belong to that group. */
  #giveToGroup(directory: string): void {
    const { fsGroup } = (this.#pod.spec.securityContext ?? {}) as { fsGroup?: number };
    if (fsGroup === undefined) return;
    try {
      chownSync(directory, 0, fsGroup);
    } catch (error) {
      // In a user namespace with one id there are no other groups, and everything runs as that one.
      if ((error as NodeJS.ErrnoException).code !== 'EINVAL') throw error;
    }
  }
}

function showsObjects(volume: Volume): boolean {
  return volume.hostPath === undefined && volume.emptyDir === undefined;
}

function depth(path: string): number {
  return path.split('/').filter((part) => part !== '').length;
}
