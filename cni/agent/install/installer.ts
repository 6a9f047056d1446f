import { existsSync, type FSWatcher, readdirSync, rmSync, statSync, watch } from 'node:fs';
import { join } from 'node:path';

import { type BackoffPlan, backoffMs } from '#common/backoff.ts';
import type { Clock } from '#common/clock.ts';
import type { Logger } from '#common/log/logger.ts';

import {
  type ConfigFile,
  type PlacementOptions,
  type PluginEntry,
  placePlugin,
  withdrawPlugin,
} from './conflist.ts';
import { removeTemporaries, textIn, writeIfChanged } from './files.ts';
import { installPlugin, type PluginSource, removePlugin } from './plugin-files.ts';

export type InstallResult =
  | 'SUCCESS'
  | 'COPY_BINARIES_FAILURE'
  | 'CREATE_KUBECONFIG_FAILURE'
  | 'CREATE_CNI_CONFIG_FAILURE';

export interface InstallerOptions {
  readonly configDirectory: string;
  readonly pluginDirectory: string;
  readonly placement: PlacementOptions;
  /** For files that are new; others keep their own. */
  readonly configMode: number;
  readonly kubeconfigPath: string;
  readonly kubeconfigMode: number;
  readonly entry: PluginEntry;
  readonly source: PluginSource;
  /** Read anew each time: tokens are replaced. */
  readonly kubeconfig: () => string;
  /** Further directories in which a change matters: that of the token. */
  readonly watched: readonly string[];
  readonly clock: Clock;
  readonly log: Logger;
  readonly onAttempt: (result: InstallResult) => void;
}

/** Several files change at once; look when they have. */
const SETTLE_MS = 100;
/** Notifications get lost where a directory is mounted anew: look now and then without one. */
const LOOK_MS = 10_000;
const RETRY: BackoffPlan = { firstMs: 500, maxMs: 10_000, spread: 0.2 };
/** So many repairs in a row, each soon after the other, and somebody works against us. */
const FIGHT_REPAIRS = 5;
const FIGHT_MS = 5_000;

/** Puts the plugin in place, and back in place whenever others change it. */
export class Installer {
  readonly #options: InstallerOptions;
  readonly #watchers: FSWatcher[] = [];
  #timer: Disposable | undefined;
  #because: string | undefined = 'the plugin is not installed yet';
  #failures = 0;
  #repairs = 0;
  #repairedAtMs = 0;
  #isStopped = false;

  constructor(options: InstallerOptions) {
    this.#options = options;
  }

  /** Why the plugin is not in place; undefined when it is. */
  get notInstalledBecause(): string | undefined {
    return this.#because;
  }

  start(): void {
    this.#look();
  }

  /** Leaves everything as it is. */
  stop(): void {
    this.#isStopped = true;
    this.#timer?.[Symbol.dispose]();
    this.#unwatch();
  }

  /** Takes everything away: the configuration first, so that no runtime looks for a plugin that has gone. */
  uninstall(): void {
    this.stop();
    const { configDirectory, placement, pluginDirectory, kubeconfigPath } = this.#options;
    const withdrawal = withdrawPlugin(this.#files(), placement);
    if (withdrawal.kind === 'remove')
      rmSync(join(configDirectory, withdrawal.name), { force: true });
    if (withdrawal.kind === 'write') this.#write(withdrawal.name, withdrawal.text);
    rmSync(kubeconfigPath, { force: true });
    removePlugin(pluginDirectory);
  }

  #look(): void {
    if (this.#isStopped) return;
    this.#timer?.[Symbol.dispose]();
    const before = this.#because;
    // Armed first: what changes while we look is looked at again.
    this.#watch();
    const nextMs = this.#installOnce();
    if (before !== undefined && this.#because === undefined) {
      this.#options.log.info('the CNI plugin is in place');
    } else if (this.#because !== undefined && before !== this.#because) {
      this.#options.log.warn('the CNI plugin is not in place', { why: this.#because });
    }
    this.#timer = this.#options.clock.setTimer(nextMs, () => this.#look());
  }

  /** Answers when to look again. */
  #installOnce(): number {
    const { pluginDirectory, source, kubeconfigPath, kubeconfigMode, kubeconfig, log } =
      this.#options;
    let step: InstallResult = 'COPY_BINARIES_FAILURE';
    try {
      const copied = installPlugin(pluginDirectory, source);
      step = 'CREATE_KUBECONFIG_FAILURE';
      writeIfChanged(kubeconfigPath, kubeconfig(), kubeconfigMode);
      step = 'CREATE_CNI_CONFIG_FAILURE';
      const placed = this.#place();
      if (placed === 'waiting') return LOOK_MS;
      if (copied || placed === 'written') this.#countRepair();
      if (this.#because !== undefined) this.#options.onAttempt('SUCCESS');
      this.#because = undefined;
      this.#failures = 0;
      return LOOK_MS;
    } catch (error) {
      this.#failures++;
      this.#options.onAttempt(step);
      this.#because = explain(error);
      const retryMs = backoffMs(RETRY, this.#failures, Math.random);
      log.warn('cannot put the CNI plugin in place', { step, why: this.#because });
      return retryMs;
    }
  }

  #place(): 'intact' | 'written' | 'waiting' {
    const { configDirectory, placement, entry } = this.#options;
    removeTemporaries(configDirectory);
    const placed = placePlugin(this.#files(), entry, placement);
    switch (placed.kind) {
      case 'intact':
        return 'intact';
      case 'wait':
        this.#because = `${placed.reason} (in ${configDirectory})`;
        return 'waiting';
      case 'write':
        this.#write(placed.name, placed.text);
        if (placed.remove !== undefined)
          rmSync(join(configDirectory, placed.remove), { force: true });
        return 'written';
    }
  }

  #files(): readonly ConfigFile[] {
    const { configDirectory } = this.#options;
    const names = existsSync(configDirectory) ? readdirSync(configDirectory) : [];
    return names.flatMap((name) => {
      const text = textIn(join(configDirectory, name));
      return text === undefined ? [] : [{ name, text }];
    });
  }

  #write(name: string, text: string): void {
    const path = join(this.#options.configDirectory, name);
    const mode = existsSync(path) ? statSync(path).mode & 0o777 : this.#options.configMode;
    writeIfChanged(path, text, mode);
  }

  #countRepair(): void {
    if (this.#because !== undefined) return;
    const { clock, log } = this.#options;
    const nowMs = clock.now();
    this.#repairs = nowMs - this.#repairedAtMs < FIGHT_MS ? this.#repairs + 1 : 1;
    this.#repairedAtMs = nowMs;
    log.warn('the CNI plugin had been changed by others and is back in place');
    if (this.#repairs === FIGHT_REPAIRS) {
      log.error(
        'another program keeps taking the CNI plugin out of the configuration; it has to leave it there (for Cilium: cni.exclusive=false)',
      );
    }
  }

  #watch(): void {
    this.#unwatch();
    const { configDirectory, pluginDirectory, watched, clock } = this.#options;
    for (const directory of [configDirectory, pluginDirectory, ...watched]) {
      if (!existsSync(directory)) continue;
      const watcher = watch(directory, () => {
        if (this.#isStopped) return;
        this.#unwatch();
        this.#timer?.[Symbol.dispose]();
        this.#timer = clock.setTimer(SETTLE_MS, () => this.#look());
      });
      // The directory has gone: looking now and then finds it again.
      watcher.on('error', () => watcher.close());
      watcher.unref();
      this.#watchers.push(watcher);
    }
  }

  #unwatch(): void {
    for (const watcher of this.#watchers.splice(0)) watcher.close();
  }
}

function explain(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const isReadOnly = (error as NodeJS.ErrnoException).code === 'EROFS';
  const hint = isReadOnly
    ? '; nodes of this kind keep their plugins somewhere else: mount that directory instead'
    : '';
  return `${message}${hint}`;
}
