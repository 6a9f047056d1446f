import type { JsonObject } from '../json.ts';
import { isObject } from '../json.ts';

/**
 * A set of fields of an object: a tree whose edges are path elements as metadata.managedFields
 * writes them ("f:spec" a field, `k:{"name":"a"}` an item by its keys, `v:"a"` a value of a set).
 * A node is in the set itself when it is a member; those below it are sets of their own.
 */
export class FieldSet {
  isMember = false;
  readonly #children = new Map<string, FieldSet>();

  /** Reads a fieldsV1; anything that is no object counts as an empty set. */
  static parse(fields: unknown): FieldSet {
    const set = new FieldSet();
    if (!isObject(fields)) return set;
    const elements = Object.keys(fields);
    for (const element of elements) {
      if (element === '.') set.isMember = true;
      else set.child(element).#adopt(fields[element]);
    }
    return set;
  }

  get isEmpty(): boolean {
    return !this.isMember && this.#children.size === 0;
  }

  entries(): Iterable<[string, FieldSet]> {
    return this.#children;
  }

  find(element: string): FieldSet | undefined {
    return this.#children.get(element);
  }

  /** The set below an element, made if there is none. */
  child(element: string): FieldSet {
    let child = this.#children.get(element);
    if (child === undefined) {
      child = new FieldSet();
      this.#children.set(element, child);
    }
    return child;
  }

  delete(element: string): void {
    this.#children.delete(element);
  }

  /** The members of either. */
  union(other: FieldSet): FieldSet {
    return this.#combine(other, (left, right) => left || right);
  }

  /** The members of both. */
  intersection(other: FieldSet): FieldSet {
    return this.#combine(other, (left, right) => left && right);
  }

  /** The members that the other does not have. */
  difference(other: FieldSet): FieldSet {
    return this.#combine(other, (left, right) => left && !right);
  }

  equals(other: FieldSet): boolean {
    if (this.isMember !== other.isMember || this.#children.size !== other.#children.size) {
      return false;
    }
    return [...this.#children].every(([element, child]) => {
      const same = other.#children.get(element);
      return same !== undefined && child.equals(same);
    });
  }

  /** The members as paths people read: `.spec.containers[name="a"].image`. */
  paths(prefix = ''): string[] {
    const paths = this.isMember ? [prefix] : [];
    for (const [element, child] of this.#children) {
      paths.push(...child.paths(`${prefix}${readableElement(element)}`));
    }
    return paths;
  }

  /** As a fieldsV1, elements in the order of their names. */
  toFields(): JsonObject {
    const fields: JsonObject = {};
    // A member with nothing below is written as {}, which needs no mark.
    if (this.isMember && this.#children.size > 0) fields['.'] = {};
    for (const element of [...this.#children.keys()].toSorted()) {
      fields[element] = this.#children.get(element)?.toFields();
    }
    return fields;
  }

  #adopt(fields: unknown): void {
    const elements = isObject(fields) ? Object.keys(fields) : [];
    this.isMember = elements.length === 0 || elements.includes('.');
    for (const element of elements) {
      if (element !== '.' && isObject(fields)) this.child(element).#adopt(fields[element]);
    }
  }

  #combine(other: FieldSet, decide: (left: boolean, right: boolean) => boolean): FieldSet {
    const result = new FieldSet();
    result.isMember = decide(this.isMember, other.isMember);
    for (const element of new Set([...this.#children.keys(), ...other.#children.keys()])) {
      const left = this.#children.get(element) ?? EMPTY;
      const right = other.#children.get(element) ?? EMPTY;
      const child = left.#combine(right, decide);
      if (!child.isEmpty) result.#children.set(element, child);
    }
    return result;
  }
}

const EMPTY = new FieldSet();

/** An element of a path as people read it: `.image`, `[name="a"]`. */
export function readableElement(element: string): string {
  const text = element.slice(2);
  if (element.startsWith('f:')) return `.${text}`;
  if (element.startsWith('v:')) return `[=${text}]`;
  const keys: unknown = JSON.parse(text);
  const parts = Object.entries(isObject(keys) ? keys : {}).map(
    ([key, value]) => `${key}=${JSON.stringify(value)}`,
  );
  return `[${parts.join(',')}]`;
}
