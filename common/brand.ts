/** A string or number that can't be mixed up with another of the same shape. */
export type Brand<T, Name extends string> = T & { readonly __brand: Name };
