import { expect } from 'chai';
import { describe, it } from 'mocha';

import { readOptions, usage } from '#bench/options.ts';

describe('readOptions()', () => {
  it('measures everything of haproxy and ours in three rounds when nothing is given', () => {
    expect(readOptions([])).to.deep.equal({
      kind: 'run',
      options: {
        subject: 'tunnels',
        seconds: 6,
        rounds: 3,
        groups: ['requests', 'latency', 'connections', 'stream', 'memory'],
        proxies: ['haproxy', 'ours'],
        peers: [],
        hold: false,
      },
    });
  });

  it('takes every option', () => {
    const line =
      '--seconds 2 --rounds 5 --only stream,requests --out a.json --proxies ours,direct --peer';
    const given = readOptions([...line.split(' '), 'other=/bin/other --flag a=b']);
    expect(given).to.deep.equal({
      kind: 'run',
      options: {
        subject: 'tunnels',
        seconds: 2,
        rounds: 5,
        groups: ['requests', 'stream'],
        proxies: ['direct', 'ours'],
        peers: [{ name: 'other', command: ['/bin/other', '--flag', 'a=b'] }],
        hold: false,
        out: 'a.json',
      },
    });
  });

  it('measures everything of a waypoint, Envoy and neither when told to', () => {
    expect(readOptions(['waypoint', '--rounds', '1'])).to.deep.equal({
      kind: 'run',
      options: {
        subject: 'waypoint',
        seconds: 6,
        rounds: 1,
        groups: ['requests', 'latency', 'memory', 'rules'],
        proxies: ['direct', 'envoy', 'ours'],
        peers: [],
        hold: false,
      },
    });
  });

  it('holds one column', () => {
    const given = readOptions(['waypoint', '--proxies', 'envoy', '--hold']);
    expect(given.kind === 'run' && given.options.hold).to.equal(true);
  });

  for (const [args, problem] of [
    [['gateway'], 'Cannot measure "gateway": want "waypoint", or nothing for node tunnels'],
    [['waypoint', 'x'], 'Cannot measure "x": want "waypoint", or nothing for node tunnels'],
    [
      ['waypoint', '--only', 'stream'],
      'Cannot use --only "stream": want one of requests, latency, memory, rules',
    ],
    [
      ['waypoint', '--proxies', 'haproxy'],
      'Cannot use --proxies "haproxy": want one of direct, envoy, ours, logged',
    ],
    [
      ['waypoint', '--peer', 'other=/bin/other'],
      'Cannot use --peer with waypoint: it adds a node tunnel',
    ],
    [['--hold'], 'Cannot hold haproxy, ours at once: name one column with --proxies'],
    [['--seconds', '0'], 'Cannot use --seconds "0": want a whole number from 1 to 600'],
    [['--seconds', '1.5'], 'Cannot use --seconds "1.5": want a whole number from 1 to 600'],
    [['--rounds', '51'], 'Cannot use --rounds "51": want a whole number from 1 to 50'],
    [
      ['--only', 'requests,speed'],
      'Cannot use --only "speed": want one of requests, latency, connections, stream, memory',
    ],
    [['--proxies', ''], 'Cannot use --proxies "": want one of direct, haproxy, ours'],
    [['--peer', 'nginx'], 'Cannot use --peer "nginx": want NAME=COMMAND'],
    [['--peer', 'a='], 'Cannot use --peer "a=": want NAME=COMMAND'],
    [['--peer', 'ours=/bin/x'], 'Cannot use the column name "ours" twice'],
  ] as const) {
    it(`refuses ${args.join(' ')}`, () => {
      expect(readOptions(args)).to.deep.equal({ kind: 'wrong', problems: [problem] });
    });
  }

  it('names every problem at once', () => {
    const given = readOptions(['--seconds', 'x', '--peer', 'y']);
    expect(given.kind === 'wrong' && given.problems).to.have.length(2);
  });

  it('refuses an option that it does not know', () => {
    const given = readOptions(['--fast']);
    expect(given.kind === 'wrong' && given.problems[0]).to.match(/--fast/);
  });

  it('asks for the help text, which names every option', () => {
    expect(readOptions(['--help'])).to.deep.equal({ kind: 'help' });
    for (const option of [
      'waypoint',
      '--seconds',
      '--rounds',
      '--only',
      '--proxies',
      '--peer',
      '--hold',
      '--out',
    ]) {
      expect(usage).to.include(option);
    }
  });
});
