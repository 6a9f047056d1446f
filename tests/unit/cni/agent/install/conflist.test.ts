import { expect } from 'chai';
import { describe, it } from 'mocha';

import {
  type ConfigFile,
  type Placement,
  type PlacementOptions,
  placePlugin,
  withdrawPlugin,
} from '#cni/agent/install/conflist.ts';

const entry = { type: 'istio-cni', name: 'istio-cni', ambient_enabled: true } as const;
const old = { type: 'istio-cni', ambient_enabled: false };
const main = { type: 'ptp', ipam: { type: 'host-local' } };
const firewall = { type: 'firewall' };
const chained: PlacementOptions = {
  chained: true,
  configName: undefined,
  ownedConfigName: undefined,
};
const owned = { ...chained, ownedConfigName: '02-istio-cni.conflist' };

const list = (...plugins: object[]): object => ({
  cniVersion: '1.0.0',
  name: 'net',
  disableCheck: true,
  plugins,
});
const file = (name: string, content: object | string): ConfigFile => ({
  name,
  text: typeof content === 'string' ? content : JSON.stringify(content),
});

function written(placement: Placement): readonly [name: string, content: unknown, remove?: string] {
  if (placement.kind !== 'write') throw new Error(JSON.stringify(placement));
  const { name, text, remove } = placement;
  return [name, JSON.parse(text), ...(remove === undefined ? [] : [remove])] as [string, unknown];
}

describe('placePlugin()', () => {
  it('comes last in the list of the node, and keeps everything else', () => {
    const files = [file('10-net.conflist', list(main, firewall))];
    expect(written(placePlugin(files, entry, chained))).to.deep.equal([
      '10-net.conflist',
      list(main, firewall, entry),
    ]);
  });

  it('takes the place of older entries', () => {
    const files = [file('10-net.conflist', list(main, old, old, firewall))];
    expect(written(placePlugin(files, entry, chained))[1]).to.deep.equal(
      list(main, firewall, entry),
    );
  });

  it('leaves alone what is right, in any order of keys, and with others behind it', () => {
    const turned = Object.fromEntries(Object.entries(entry).toReversed());
    for (const plugins of [
      [main, entry],
      [main, turned],
      [main, entry, firewall],
    ]) {
      const files = [file('10-net.conflist', list(...plugins))];
      expect(placePlugin(files, entry, chained)).to.deep.equal({ kind: 'intact' });
    }
  });

  it('makes a list of a single plugin, in a file that is called one', () => {
    const files = [file('10-net.conf', { cniVersion: '0.4.0', name: 'net', ...main })];
    expect(written(placePlugin(files, entry, chained))).to.deep.equal([
      '10-net.conflist',
      { cniVersion: '0.3.1', name: 'k8s-pod-network', plugins: [{ name: 'net', ...main }, entry] },
      '10-net.conf',
    ]);
  });

  it('chooses the file that the runtime chooses: the first that can be used', () => {
    const files = [
      file('30-late.conflist', list(main)),
      file('00-note.json', list(main)),
      file('01-broken.conflist', '{'),
      file('02-empty.conflist', ''),
      file('03-nameless.conflist', { plugins: [main] }),
      file('04-none.conflist', { name: 'net', plugins: [] }),
      file('05-typeless.conf', { name: 'net' }),
      file('20-right.conflist', list(firewall)),
    ];
    expect(written(placePlugin(files, entry, chained))[0]).to.equal('20-right.conflist');
  });

  it('uses the file that it is told, under either ending', () => {
    const files = [file('10-net.conflist', list(main)), file('50-mine.conflist', list(firewall))];
    for (const configName of ['50-mine.conflist', '50-mine.conf']) {
      const placed = placePlugin(files, entry, { ...chained, configName });
      expect(written(placed)[0]).to.equal('50-mine.conflist');
    }
  });

  it('waits for a node that has no network yet', () => {
    expect(placePlugin([], entry, chained)).to.deep.equal({
      kind: 'wait',
      reason: 'the node has no CNI configuration yet',
    });
    const named = placePlugin([file('10-net.conflist', list(main))], entry, {
      ...chained,
      configName: 'x.conf',
    });
    expect(named).to.deep.equal({
      kind: 'wait',
      reason: 'the node has no CNI configuration "x.conf" yet',
    });
  });

  it('copies the list of the node to a file of its own when it owns one', () => {
    const files = [file('10-net.conflist', list(main))];
    const [name, content] = written(placePlugin(files, entry, owned));
    expect([name, content]).to.deep.equal(['02-istio-cni.conflist', list(main, entry)]);
    const both = [...files, file(name, content as object)];
    expect(placePlugin(both, entry, owned)).to.deep.equal({ kind: 'intact' });
    const changed = [
      file('10-net.conflist', list({ ...main, mtu: 1_400 })),
      file(name, content as object),
    ];
    expect(written(placePlugin(changed, entry, owned))[1]).to.deep.equal(
      list({ ...main, mtu: 1_400 }, entry),
    );
  });

  it('writes a network of its own when it is not chained', () => {
    const options = { ...chained, chained: false };
    const [name, content] = written(placePlugin([], entry, options));
    expect([name, content]).to.deep.equal([
      'YYY-istio-cni.conf',
      { cniVersion: '0.3.1', ...entry },
    ]);
    expect(placePlugin([file(name, content as object)], entry, options)).to.deep.equal({
      kind: 'intact',
    });
  });
});

describe('withdrawPlugin()', () => {
  it('takes our entry out, and nothing else', () => {
    const withdrawn = withdrawPlugin(
      [file('10-net.conflist', list(main, entry, firewall))],
      chained,
    );
    expect(withdrawn.kind === 'write' && JSON.parse(withdrawn.text)).to.deep.equal(
      list(main, firewall),
    );
  });

  it('removes a file that is ours', () => {
    const files = [
      file('10-net.conflist', list(main)),
      file('02-istio-cni.conflist', list(main, entry)),
    ];
    expect(withdrawPlugin(files, owned)).to.deep.equal({
      kind: 'remove',
      name: '02-istio-cni.conflist',
    });
    const alone = [file('YYY-istio-cni.conf', entry)];
    expect(withdrawPlugin(alone, { ...chained, chained: false })).to.deep.equal({
      kind: 'remove',
      name: 'YYY-istio-cni.conf',
    });
  });

  it('does nothing where there is nothing of ours', () => {
    for (const options of [chained, owned, { ...chained, chained: false }]) {
      expect(withdrawPlugin([file('10-net.conflist', list(main))], options)).to.deep.equal({
        kind: 'nothing',
      });
    }
  });
});
