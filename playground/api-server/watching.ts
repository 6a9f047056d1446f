import type { Status } from './errors.ts';
import { tooOldResourceVersion } from './errors.ts';
import type { Selector } from './fields.ts';
import type { StoredObject } from './object.ts';
import type { Change, WatchCache } from './watch-cache.ts';

/** metav1.WatchEvent; a bookmark's object has nothing but its kind and its resourceVersion. */
export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK';
  readonly object: StoredObject | Bookmark;
}

/** What a bookmark carries: the version that the watcher has caught up with. */
export interface Bookmark {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly resourceVersion: string;
    readonly creationTimestamp: null;
    readonly annotations?: Readonly<Record<string, string>>;
  };
}

/** Who hears of the changes. Called synchronously; must not throw; may stop the watch. */
export interface WatchSink {
  event(event: WatchEvent): void;
  /** No more events: with a status when the watch failed, at once or later. */
  end(status?: Status): void;
}

export interface WatchStart {
  /** Undefined or 0: everything that is there comes first as ADDED. */
  readonly version: number | undefined;
  readonly sendInitialEvents: boolean;
  readonly allowBookmarks: boolean;
}

interface WatchedKind {
  readonly apiVersion: string;
  readonly kind: string;
  present(object: StoredObject): StoredObject;
}

/** One watcher: turns the changes of a cache into the events that its selector lets through. */
export class Watch {
  readonly #cache: WatchCache;
  readonly #selector: Selector;
  readonly #kind: WatchedKind;
  readonly #sink: WatchSink;
  readonly #listener = (change: Change): void => this.#pass(change);
  readonly #allowBookmarks: boolean;
  #stopped = false;
  #sentVersion = 0;

  constructor(
    cache: WatchCache,
    selector: Selector,
    watched: {
      readonly kind: WatchedKind;
      readonly sink: WatchSink;
      readonly allowBookmarks: boolean;
    },
  ) {
    this.#cache = cache;
    this.#selector = selector;
    this.#kind = watched.kind;
    this.#sink = watched.sink;
    this.#allowBookmarks = watched.allowBookmarks;
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  /** Sends what has to come first and then listens. `currentVersion`: the store's latest number. */
  start(from: WatchStart, currentVersion: number): void {
    const { version = 0, sendInitialEvents } = from;
    if (version === 0 || sendInitialEvents) {
      this.#sendAll();
      this.#sentVersion = currentVersion;
      if (sendInitialEvents)
        this.#bookmark(currentVersion, { 'k8s.io/initial-events-end': 'true' });
    } else {
      const changes = this.#cache.since(version);
      if (changes === undefined) {
        this.end(tooOldResourceVersion(version, this.#cache.oldestVersion).status);
        return;
      }
      for (const change of changes) this.#pass(change);
      this.#sentVersion = Math.max(this.#sentVersion, version);
    }
    if (!this.#stopped) this.#cache.listen(this.#listener);
  }

  /** Tells the watcher how far it has come, if it wants to know and has not been told. */
  bookmark(currentVersion: number): void {
    if (this.#allowBookmarks && currentVersion > this.#sentVersion) this.#bookmark(currentVersion);
  }

  /** Ends the watch from the server's side. */
  end(status?: Status): void {
    if (this.#stopped) return;
    this.stop();
    this.#sink.end(status);
  }

  /** The watcher has gone: nothing is called any more. */
  stop(): void {
    this.#stopped = true;
    this.#cache.unlisten(this.#listener);
  }

  #sendAll(): void {
    const snapshot = this.#cache.current();
    for (const key of snapshot.keys) {
      const object = snapshot.get(key);
      if (object !== undefined && this.#selector.matches(object)) this.#send('ADDED', object);
    }
  }

  #pass(change: Change): void {
    const matchedBefore = change.before !== undefined && this.#selector.matches(change.before);
    const matches = change.type !== 'DELETED' && this.#selector.matches(change.object);
    if (matches) this.#send(matchedBefore ? 'MODIFIED' : 'ADDED', change.object);
    else if (matchedBefore) this.#send('DELETED', lastMatching(change));
    if (matches || matchedBefore) this.#sentVersion = change.version;
  }

  #send(type: WatchEvent['type'], object: StoredObject): void {
    if (!this.#stopped) this.#sink.event({ type, object: this.#kind.present(object) });
  }

  #bookmark(version: number, annotations?: Readonly<Record<string, string>>): void {
    if (this.#stopped) return;
    this.#sentVersion = version;
    const { apiVersion, kind } = this.#kind;
    const metadata = {
      resourceVersion: String(version),
      creationTimestamp: null,
      ...(annotations === undefined ? {} : { annotations }),
    };
    this.#sink.event({ type: 'BOOKMARK', object: { apiVersion, kind, metadata } });
  }
}

/** An object that the selector no longer lets through: as it was, with the version of the change. */
function lastMatching(change: Change): StoredObject {
  if (change.type === 'DELETED' || change.before === undefined) return change.object;
  const { before } = change;
  return { ...before, metadata: { ...before.metadata, resourceVersion: String(change.version) } };
}
