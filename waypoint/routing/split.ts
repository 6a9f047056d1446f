import { drawByWeight } from '#dataplane/state/load-balance.ts';

import type { RouteBackend, RouteRule } from './model.ts';

/** Draws a backend in proportion to weight; undefined when the weights add up to nothing. `random`: from 0 up to but without 1. */
export function pickBackend(rule: RouteRule, random: () => number): RouteBackend | undefined {
  return drawByWeight(rule.backends, ({ weight }) => weight, random);
}
