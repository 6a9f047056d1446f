import { type Clock, systemClock } from '#common/clock.ts';
import { builtinKinds } from '#playground/api-server/builtin-kinds.ts';
import type { Status } from '#playground/api-server/errors.ts';
import { ApiError } from '#playground/api-server/errors.ts';
import type { ServedKind } from '#playground/api-server/kinds.ts';
import { KindRegistry } from '#playground/api-server/kinds.ts';
import type { WriteOptions } from '#playground/api-server/store.ts';
import { Store } from '#playground/api-server/store.ts';
import type { WatchEvent, WatchSink } from '#playground/api-server/watching.ts';

/** How a test writes when it does not matter how. */
export const asTester: WriteOptions = {
  user: 'tester',
  dryRun: false,
  fieldManager: 'tests',
  fieldValidation: 'Warn',
  warn: () => undefined,
};

/** A store with the built-in kinds and the namespace "shop"; its versions start at `firstVersion`. */
export function shopStore(firstVersion = 1, clock: Clock = systemClock): Store {
  const store = new Store(new KindRegistry(builtinKinds()), clock, firstVersion);
  store.create(builtin(store, 'namespaces'), undefined, { metadata: { name: 'shop' } }, asTester);
  return store;
}

/** The stored version of a built-in resource, by its plural name. */
export function builtin(store: Store, plural: string): ServedKind {
  const kind = store.registry.all().find((known) => known.plural === plural && known.storage);
  if (kind === undefined) throw new Error(`No built-in kind is named ${plural}`);
  return kind;
}

/** The status that a call is refused with. Fails when it is not refused. */
export function refusal(call: () => unknown): Status {
  try {
    call();
  } catch (error) {
    if (error instanceof ApiError) return error.status;
    throw error;
  }
  throw new Error('The call was not refused');
}

/** A sink that remembers what it was given. */
export class EventList implements WatchSink {
  readonly events: WatchEvent[] = [];
  ended: Status | 'without a status' | undefined;

  event(event: WatchEvent): void {
    this.events.push(event);
  }

  end(status?: Status): void {
    this.ended = status ?? 'without a status';
  }

  /** "ADDED a", "BOOKMARK": type and name of each event. */
  get summary(): readonly string[] {
    return this.events.map(({ type, object }) =>
      'name' in object.metadata ? `${type} ${object.metadata.name}` : type,
    );
  }
}
