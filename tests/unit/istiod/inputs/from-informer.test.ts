import { expect } from 'chai';
import { beforeEach, describe, it } from 'mocha';

import { feed } from '#istiod/inputs/from-informer.ts';
import { Graph } from '#istiod/krt/graph.ts';
import { StaticCollection } from '#istiod/krt/static.ts';
import type { InformerHandler } from '#kube/replica.ts';
import type { ConfigMap } from '#kube/resources.ts';

interface Note {
  readonly key: string;
  readonly text: string;
}

function map(name: string, text?: string): ConfigMap {
  const data = text === undefined ? {} : { text };
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace: 'ns' }, data };
}

describe('feed()', () => {
  let told: InformerHandler<ConfigMap>;
  let notes: StaticCollection<Note>;
  let transactions: string[][];
  let stop: () => void;
  let stopped: boolean;

  beforeEach(() => {
    const graph = new Graph(({ error }) => {
      throw error;
    });
    notes = new StaticCollection<Note>(graph, 'notes', { keyOf: ({ key }) => key });
    transactions = [];
    notes.subscribe((changes) => {
      transactions.push(changes.map(({ key, after }) => `${key}=${after?.text ?? ''}`));
    });
    stopped = false;
    const informer = {
      on: (handler: InformerHandler<ConfigMap>) => {
        told = handler;
        return () => {
          stopped = true;
        };
      },
    };
    stop = feed(graph, informer, notes, ({ metadata, data }) =>
      data?.['text'] === undefined ? undefined : { key: `ns/${metadata.name}`, text: data['text'] },
    );
  });

  it('makes one transaction of what is told at once', async () => {
    told.added(map('a', '1'));
    told.added(map('b', '1'));
    told.changed(map('a', '2'), map('a', '1'));
    expect(transactions).to.deep.equal([]);
    await Promise.resolve();
    expect(transactions).to.deep.equal([['ns/a=2', 'ns/b=1']]);
  });

  it('forgets what has gone, and what is no longer worth keeping', async () => {
    told.added(map('a', '1'));
    told.added(map('b', '1'));
    await Promise.resolve();
    told.removed(map('a', '1'));
    told.changed(map('b'), map('b', '1'));
    await Promise.resolve();
    expect(transactions[1]).to.deep.equal(['ns/a=', 'ns/b=']);
    expect(notes.size).to.equal(0);
  });

  it('stops listening when it is told to, and leaves what is there', async () => {
    told.added(map('a', '1'));
    await Promise.resolve();
    stop();
    expect(stopped).to.equal(true);
    expect(notes.size).to.equal(1);
  });

  it('says nothing of what came and went in between', async () => {
    told.added(map('a', '1'));
    told.removed(map('a', '1'));
    await Promise.resolve();
    expect(transactions).to.deep.equal([]);
  });
});
