import { type Heard, OUTSIDE, type PodView, SHOP, type Shop } from '../shop.ts';
import { type Recorded, recordWire } from '../wire.ts';

/** A caller asks `details`, and what passes between their pods on the wire is recorded. */
export async function recordOrder(shop: Shop, caller: PodView): Promise<Recorded<Heard>> {
  const details = await shop.pod(SHOP, 'app=details');
  const tap = { namespace: OUTSIDE, node: caller.spec.nodeName ?? '' };
  const between = [caller.status.podIP ?? '', details.status.podIP ?? ''] as const;
  const namespace = caller.metadata.name === 'stranger' ? OUTSIDE : SHOP;
  return recordWire(shop, tap, between, async () => shop.ask(namespace, caller.metadata.name));
}
