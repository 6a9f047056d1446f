/**
 * Whether two values have the same content: primitives, arrays, plain objects, byte arrays, Maps and Sets
 * of primitives (in their order). A property that is undefined is not the same as one that is absent.
 */
export function structurallyEqual(one: unknown, other: unknown): boolean {
  if (Object.is(one, other)) return true;
  if (typeof one !== 'object' || typeof other !== 'object' || one === null || other === null) {
    return false;
  }
  if (Object.getPrototypeOf(one) !== Object.getPrototypeOf(other)) return false;
  if (Array.isArray(one)) return sameItems(one, other as readonly unknown[]);
  if (one instanceof Uint8Array) return sameBytes(one, other as Uint8Array);
  if (one instanceof Map || one instanceof Set) {
    return sameItems([...one], [...(other as Iterable<unknown>)]);
  }
  return sameProperties(one as Properties, other as Properties);
}

type Properties = Readonly<Record<string, unknown>>;

function sameItems(one: readonly unknown[], other: readonly unknown[]): boolean {
  return (
    one.length === other.length &&
    one.every((item, position) => structurallyEqual(item, other[position]))
  );
}

function sameBytes(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, position) => byte === other[position]);
}

function sameProperties(one: Properties, other: Properties): boolean {
  const names = Object.keys(one);
  return (
    names.length === Object.keys(other).length &&
    names.every((name) => Object.hasOwn(other, name) && structurallyEqual(one[name], other[name]))
  );
}
