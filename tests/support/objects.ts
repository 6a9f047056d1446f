import type { KubeClient } from '#kube/client.ts';
import { Informer } from '#kube/informer.ts';
import type { KubeObject, ResourceKind } from '#kube/resources.ts';

/** The one object of a name as soon as it is as wanted (undefined: it is not there). The test's own deadline ends the wait. */
export function objectUntil<T extends KubeObject>(
  client: KubeClient,
  kind: ResourceKind<T>,
  where: { readonly namespace?: string; readonly name: string },
  isWanted: (object: T | undefined) => boolean,
): Promise<T | undefined> {
  const { namespace, name } = where;
  const informer = new Informer(client, kind, {
    ...(namespace === undefined ? {} : { namespace }),
    fieldSelector: `metadata.name=${name}`,
  });
  const { promise, resolve } = Promise.withResolvers<T | undefined>();
  const look = (): void => {
    const [object] = informer.list();
    if (!informer.isSynced || !isWanted(object)) return;
    informer.stop();
    resolve(object);
  };
  informer.on({ added: look, changed: look, removed: look });
  informer.start();
  void informer.synced.then(look);
  return promise;
}
