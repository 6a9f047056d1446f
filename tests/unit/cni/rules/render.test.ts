import { expect } from 'chai';
import { describe, it } from 'mocha';

import {
  renderRemoval,
  renderRouting,
  renderRoutingRemoval,
  renderRuleset,
} from '#cni/rules/render.ts';
import { captureRules } from '#cni/rules/ruleset.ts';

describe('renderRuleset()', () => {
  it('writes the whole table as one batch that replaces what was there', () => {
    const ruleset = captureRules({ dns: true, excludedOutboundPorts: [6379, 9000] });
    expect(renderRuleset(ruleset)).to.equal(allRules);
  });

  it('writes no DNS chain when DNS is not captured', () => {
    expect(renderRuleset(captureRules())).to.not.include('53 ').and.not.include('dns');
  });
});

describe('renderRemoval()', () => {
  it('adds the table before it deletes it, so that absence is no error', () => {
    expect(renderRemoval('ambit-pod')).to.equal(
      'table inet ambit-pod\ndelete table inet ambit-pod\n',
    );
  });
});

describe('renderRouting()', () => {
  it('delivers marked packets to this machine', () => {
    expect(renderRouting(captureRules().routing)).to.equal(
      'rule add pref 32764 fwmark 0x111/0xfff lookup 100\n' +
        'route replace local default dev lo table 100\n',
    );
  });
});

describe('renderRoutingRemoval()', () => {
  it('removes exactly what renderRouting() adds', () => {
    expect(renderRoutingRemoval(captureRules().routing)).to.equal(
      'rule del pref 32764 fwmark 0x111/0xfff lookup 100\nroute flush table 100\n',
    );
  });
});

const allRules = `table inet ambit-pod
delete table inet ambit-pod
table inet ambit-pod {
  chain dns-answers {
    type filter hook prerouting priority -300; policy accept;
    udp sport 53 meta mark & 0xfff != 0x539 counter ct zone set 1 comment "answers from resolvers belong to the zone of the proxy"
  }
  chain dns-questions {
    type filter hook output priority -300; policy accept;
    udp dport 53 meta mark & 0xfff == 0x539 counter ct zone set 1 comment "questions of the proxy must not share a connection entry with the app"
  }
  chain remember {
    type filter hook prerouting priority -150; policy accept;
    meta mark & 0xfff == 0x539 counter ct mark set ct mark & 0xfffff000 | 0x111 comment "the proxy opened this flow"
  }
  chain recall {
    type route hook output priority -150; policy accept;
    ct mark & 0xfff == 0x111 counter meta mark set ct mark comment "what the app answers on a flow of the proxy goes back to the proxy"
  }
  chain inbound {
    type nat hook prerouting priority -100; policy accept;
    tcp flags & (fin|syn|rst|ack) != syn counter accept comment "open connections stay as they are"
    ip saddr 169.254.7.127 meta l4proto tcp counter accept comment "health probes of the node reach the app untouched"
    ip6 saddr fd16:9254:7127:1337:ffff:ffff:ffff:ffff meta l4proto tcp counter accept comment "health probes of the node reach the app untouched"
    meta mark & 0xfff == 0x539 counter accept comment "own traffic of the proxy"
    ip daddr 127.0.0.1 counter accept comment "localhost stays in the pod"
    ip6 daddr ::1 counter accept comment "localhost stays in the pod"
    tcp dport 15008 counter accept comment "tunnels go straight to their listener"
    meta l4proto tcp counter redirect to :15006 comment "plain text from outside"
  }
  chain guard {
    type filter hook prerouting priority -99; policy accept;
    tcp flags & (fin|syn|rst|ack) != syn counter accept comment "first of all: every packet comes by here"
    iifname "lo" counter accept comment "the pod and its proxy talk to themselves"
    ip saddr 169.254.7.127 meta l4proto tcp counter accept comment "health probes of the node reach the app untouched"
    ip6 saddr fd16:9254:7127:1337:ffff:ffff:ffff:ffff meta l4proto tcp counter accept comment "health probes of the node reach the app untouched"
    meta mark & 0xfff == 0x539 counter accept comment "own traffic of the proxy"
    ip daddr 127.0.0.1 counter accept comment "localhost stays in the pod"
    ip6 daddr ::1 counter accept comment "localhost stays in the pod"
    tcp dport 15008 counter accept comment "tunnels go straight to their listener"
    tcp dport 15006 counter accept comment "is at the proxy without being redirected"
    meta l4proto tcp ct status & dnat == 0 counter drop comment "a new connection must not pass as one that was open before"
  }
  chain outbound {
    type nat hook output priority -100; policy accept;
    tcp flags & (fin|syn|rst|ack) != syn counter accept comment "open connections stay as they are"
    ip daddr 169.254.7.127 meta l4proto tcp counter accept comment "health probes of the node reach the app untouched"
    ip6 daddr fd16:9254:7127:1337:ffff:ffff:ffff:ffff meta l4proto tcp counter accept comment "health probes of the node reach the app untouched"
    meta mark & 0xfff == 0x539 counter accept comment "own traffic of the proxy"
    udp dport 53 oifname != "lo" counter redirect to :15053 comment "DNS questions of the app"
    tcp dport 53 ip daddr != 127.0.0.1 counter redirect to :15053 comment "DNS questions of the app over TCP"
    tcp dport 53 ip6 daddr != ::1 counter redirect to :15053 comment "DNS questions of the app over TCP"
    meta mark & 0xfff == 0x111 meta l4proto tcp counter accept comment "answers on flows that the proxy opened"
    oifname "lo" counter accept comment "the pod talks to itself"
    ip daddr 127.0.0.1 counter accept comment "localhost stays in the pod"
    ip6 daddr ::1 counter accept comment "localhost stays in the pod"
    tcp dport { 6379, 9000 } counter accept comment "ports that are kept out of the mesh"
    meta l4proto tcp counter redirect to :15001 comment "what the app sends out"
  }
}
`;
