import { expect } from 'chai';
import { describe, it } from 'mocha';

import {
  type Chain,
  captureRules,
  drainRules,
  ownMark,
  proxyPorts,
  type Rule,
} from '#cni/rules/ruleset.ts';

describe('captureRules()', () => {
  it('accepts the marked traffic of the proxy before any redirect', () => {
    for (const dns of [false, true]) {
      for (const chain of natChains(captureRules({ dns }).chains)) {
        const own = chain.rules.findIndex(acceptsOwnTraffic);
        const redirect = chain.rules.findIndex((rule) => rule.action.kind === 'redirect');
        expect(own, chain.name).to.be.within(0, redirect - 1);
      }
    }
  });

  it('ends both directions with the redirect of all other TCP', () => {
    const [inbound, outbound] = natChains(captureRules().chains);
    expect(inbound?.rules.at(-1)?.action).to.deep.equal({ kind: 'redirect', port: 15006 });
    expect(outbound?.rules.at(-1)?.action).to.deep.equal({ kind: 'redirect', port: 15001 });
  });

  it('leaves out every trace of DNS when DNS is not captured', () => {
    const text = JSON.stringify(captureRules({ dns: false }));
    expect(text).to.not.include('udp').and.not.include(String(proxyPorts.dns));
  });

  it('captures DNS before it accepts what stays on the loopback interface', () => {
    const outbound = natChains(captureRules({ dns: true }).chains)[1];
    const dns = outbound?.rules.findLastIndex((rule) => redirectsTo(rule, proxyPorts.dns)) ?? -1;
    const loopback =
      outbound?.rules.findIndex((rule) => rule.matches[0]?.kind === 'leaves-by-loopback') ?? -1;
    expect(dns).to.be.within(0, loopback - 1);
  });

  it('redirects nothing from outside when inbound capture is off, but keeps the NAT hook', () => {
    const [inbound] = natChains(captureRules({ inbound: false }).chains);
    expect(inbound?.hook).to.equal('prerouting');
    expect(inbound?.rules).to.deep.equal([]);
  });

  it('keeps open connections by default and cuts them on request', () => {
    expect([guards('keep'), guards('cut')]).to.deep.equal([2, 0]);
  });

  it('guards what comes in with the same exceptions as the redirect', () => {
    const { chains } = captureRules({ excludedInboundPorts: [22] });
    const [inbound, guard] = ['inbound', 'guard'].map((name) =>
      chains.find((chain) => chain.name === name),
    );
    const whys = guard?.rules.map((rule) => rule.why);
    expect(whys).to.include.members(inbound?.rules.slice(1, -1).map((rule) => rule.why) ?? []);
    expect(guard?.rules.at(-1)?.action).to.deep.equal({ kind: 'drop' });
    expect(guard?.priority).to.be.greaterThan(inbound?.priority ?? 0);
  });

  it('needs no guard where nothing is kept or captured', () => {
    for (const options of [{ established: 'cut' }, { inbound: false }] as const) {
      const names = captureRules(options).chains.map((chain) => chain.name);
      expect(names).to.not.include('guard');
    }
  });

  it('lets probes through in both directions, from the address that it is told', () => {
    for (const chain of natChains(captureRules({ probeSourceIpv4: '192.0.2.7' }).chains)) {
      const addresses = chain.rules
        .filter((rule) => rule.action.kind === 'accept')
        .flatMap((rule) => rule.matches)
        .map((match) => (match.kind === 'address' ? match.address : ''));
      expect(addresses).to.include('192.0.2.7').and.not.include('169.254.7.127');
    }
  });

  it('routes only IPv4 when IPv6 is off', () => {
    expect(captureRules({ ipv6: false }).routing.families).to.deep.equal(['ip']);
    expect(captureRules().routing.families).to.deep.equal(['ip', 'ip6']);
  });

  it('gives every rule a reason that nft accepts as a comment', () => {
    const rules = captureRules({ dns: true, excludedInboundPorts: [22] }).chains.flatMap(
      (chain) => chain.rules,
    );
    for (const rule of rules) {
      expect(Buffer.byteLength(rule.why)).to.be.within(1, 128);
      expect(rule.why).to.not.include('"');
    }
  });
});

function guards(established: 'keep' | 'cut'): number {
  return natChains(captureRules({ established }).chains).filter(
    (chain) => chain.rules[0]?.matches[0]?.kind === 'not-the-first-packet',
  ).length;
}

function natChains(chains: readonly Chain[]): Chain[] {
  return chains.filter((chain) => chain.type === 'nat');
}

function acceptsOwnTraffic(rule: Rule): boolean {
  const [match] = rule.matches;
  return (
    rule.action.kind === 'accept' &&
    rule.matches.length === 1 &&
    match?.kind === 'packet-mark' &&
    match.mark === ownMark &&
    match.negated === undefined
  );
}

function redirectsTo(rule: Rule, port: number): boolean {
  return rule.action.kind === 'redirect' && rule.action.port === port;
}

describe('drainRules()', () => {
  const capture = captureRules({ dns: true });
  const drain = drainRules(capture);

  it('redirects and refuses nothing', () => {
    const actions = drain.chains.flatMap(({ rules }) => rules.map(({ action }) => action.kind));
    expect(actions).to.not.include('redirect').and.not.include('drop');
    expect(actions).to.include.members(['remember', 'copy-connection-mark']);
  });

  it('keeps the NAT hooks and the routing, by which open connections find their way', () => {
    const hooks = drain.chains.filter(({ type }) => type === 'nat').map(({ hook }) => hook);
    expect(hooks).to.deep.equal(['prerouting', 'output']);
    expect([drain.table, drain.routing]).to.deep.equal([capture.table, capture.routing]);
  });
});
