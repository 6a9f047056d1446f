import { expect } from 'chai';
import { describe, it } from 'mocha';

import {
  chooseNetwork,
  pluginError,
  pluginInput,
  podAddress,
} from '#playground/node/cni-config.ts';

const list = (name: string, ...types: string[]): string =>
  JSON.stringify({ cniVersion: '1.0.0', name, plugins: types.map((type) => ({ type })) });

describe('chooseNetwork()', () => {
  it('takes the first file by name that can be used', () => {
    const chosen = chooseNetwork([
      { name: '20-b.conflist', text: list('b', 'two') },
      { name: '10-a.conflist', text: list('a', 'one', 'istio-cni') },
      { name: '00-notes.txt', text: list('notes', 'no') },
      { name: '05-broken.conflist', text: '{' },
    ]);
    expect(chosen).to.deep.include({ kind: 'ok', file: '10-a.conflist' });
    const types = chosen.kind === 'ok' ? chosen.network.plugins.map(({ type }) => type) : [];
    expect(types).to.deep.equal(['one', 'istio-cni']);
  });

  it('takes a .conf file for a list of one', () => {
    const text = JSON.stringify({ cniVersion: '0.4.0', name: 'a', type: 'bridge', mtu: 1400 });
    const chosen = chooseNetwork([{ name: '10-a.conf', text }]);
    const plugins = chosen.kind === 'ok' ? chosen.network.plugins : [];
    expect(plugins).to.have.length(1);
    expect(plugins[0]).to.include({ type: 'bridge', mtu: 1400 });
  });

  it('says of each file why it cannot be used', () => {
    expect(chooseNetwork([])).to.deep.equal({ kind: 'none', why: 'cni plugin not initialized' });
    const chosen = chooseNetwork([
      { name: 'a.conflist', text: '[]' },
      { name: 'b.conflist', text: '{"plugins": [{"type": "x"}]}' },
      { name: 'c.conflist', text: list('c') },
      { name: 'd.conflist', text: list('d', '../../bin/sh') },
    ]);
    expect(chosen.kind === 'none' && chosen.why).to.equal(
      'a.conflist: want a JSON object; b.conflist: has no "name"; c.conflist: has no "plugins"; d.conflist: plugin type "../../bin/sh"',
    );
  });
});

describe('pluginInput()', () => {
  it("is the plugin's settings with the list's name and version, and the result so far", () => {
    const network = { cniVersion: '1.0.0', name: 'net', plugins: [] };
    const plugin = { type: 'portmap', capabilities: { portMappings: true }, snat: true };
    const prevResult = { ips: [{ address: '10.244.0.2/24' }] };
    expect(JSON.parse(pluginInput(network, plugin, prevResult))).to.deep.equal({
      cniVersion: '1.0.0',
      name: 'net',
      type: 'portmap',
      snat: true,
      prevResult,
    });
    expect(podAddress(prevResult)).to.equal('10.244.0.2');
  });
});

describe('pluginError()', () => {
  it('is what the plugin says, in the best way that it says it', () => {
    expect(pluginError('{"code": 7, "msg": "no room", "details": "all taken"}', 'x', 1)).to.equal(
      'no room: all taken',
    );
    expect(pluginError('', 'broken\n', 1)).to.equal('broken');
    expect(pluginError('', '', 2)).to.equal(
      'netplugin failed with no error message: exit status 2',
    );
  });
});
