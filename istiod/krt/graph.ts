import { invariant } from '#common/assert.ts';

/** What the graph needs of a collection. */
export interface Member {
  readonly name: string;
  /** Brings the content up to date; tells those who read it what has changed. */
  settle(): void;
  /** Tells the subscribers what the transaction has changed. */
  publish(): void;
}

/** A transformation threw. The item keeps what the transformation last answered. */
export interface Fault {
  readonly collection: string;
  readonly key: string;
  readonly error: unknown;
}

/**
 * Collections and the order in which a change travels through them. A collection can only read those
 * that were made before it, so the order of creation is an order of dependency: one pass brings
 * everything up to date and computes each item at most once. Nobody sees a state in between.
 */
export class Graph {
  readonly #members: Member[] = [];
  readonly #positions = new Map<Member, number>();
  readonly #onFault: (fault: Fault) => void;
  /** Positions of collections that have to settle, and of those that have settled with changes. */
  readonly #unsettled = new Set<number>();
  #unpublished: Member[] = [];
  #depth = 0;
  #holds = 0;
  #phase: 'idle' | 'settling' | 'publishing' = 'idle';

  constructor(onFault: (fault: Fault) => void) {
    this.#onFault = onFault;
  }

  get members(): readonly Member[] {
    return this.#members;
  }

  /**
   * Changes to inputs within `work` are one: collections are computed, and subscribers told, at its end.
   * May be called by a subscriber: its changes follow as a transaction of their own.
   */
  transact(work: () => void): void {
    invariant(this.#phase !== 'settling', 'a transformation changes nothing');
    this.#depth++;
    try {
      work();
    } finally {
      this.#depth--;
      this.#commit();
    }
  }

  /** Until disposed, changes are only collected. For start-up: everything is then computed once. */
  hold(): Disposable {
    this.#holds++;
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (!held) return;
        held = false;
        this.#holds--;
        this.#commit();
      },
    };
  }

  /** For collections: takes a new one in. */
  enlist(member: Member): void {
    invariant(this.#phase !== 'settling', 'a transformation makes no collection');
    this.#positions.set(member, this.#members.length);
    this.#members.push(member);
  }

  /** For collections: whether one may read the other. */
  precedes(earlier: Member, later: Member): boolean {
    return this.#positionOf(earlier) < this.#positionOf(later);
  }

  /** For collections: there is something to settle. */
  touch(member: Member): void {
    this.#unsettled.add(this.#positionOf(member));
  }

  /** For collections: subscribers have to be told when all have settled. */
  announce(member: Member): void {
    this.#unpublished.push(member);
  }

  /** For collections. */
  fault(fault: Fault): void {
    this.#onFault(fault);
  }

  #commit(): void {
    if (this.#depth > 0 || this.#holds > 0 || this.#phase !== 'idle') return;
    try {
      while (this.#unsettled.size > 0) this.#settleAndPublish();
    } finally {
      this.#phase = 'idle';
    }
  }

  #settleAndPublish(): void {
    this.#phase = 'settling';
    // Settling touches only later members, so one pass upwards meets all of them.
    for (let position = 0; this.#unsettled.size > 0; position++) {
      invariant(position < this.#members.length, 'a collection touches only later ones');
      if (this.#unsettled.delete(position)) this.#members[position]?.settle();
    }
    this.#phase = 'publishing';
    const members = this.#unpublished;
    this.#unpublished = [];
    for (const member of members) member.publish();
  }

  #positionOf(member: Member): number {
    const position = this.#positions.get(member);
    invariant(position !== undefined, `the collection "${member.name}" belongs to this graph`);
    return position;
  }
}
