import { expect } from 'chai';
import { describe, it } from 'mocha';

import { findDifference, type RulesListing } from '#cni/rules/compare.ts';
import { captureRules, drainRules } from '#cni/rules/ruleset.ts';

const ruleset = captureRules({ inbound: false });
const whys = (name: string): readonly string[] =>
  ruleset.chains.find((chain) => chain.name === name)!.rules.map(({ why }) => why);

/** As nft prints it: names for some priorities, expressions in its own words, comments as they were given. */
const table = `table inet ambit-pod {
	chain remember {
		type filter hook prerouting priority mangle; policy accept;
		meta mark & 0x00000fff == 0x00000539 counter ct mark set ct mark & 0xfffff111 comment "${whys('remember')[0]}"
	}

	chain recall {
		type route hook output priority mangle; policy accept;
		ct mark & 0x00000fff == 0x00000111 counter meta mark set ct mark comment "${whys('recall')[0]}"
	}

	chain inbound {
		type nat hook prerouting priority dstnat; policy accept;
	}

	chain outbound {
		type nat hook output priority -100; policy accept;
${whys('outbound')
  .map((why) => `\t\tmeta l4proto tcp counter accept comment "${why}"`)
  .join('\n')}
	}
}
`;
const routing = `32764:	from all fwmark 0x111/0xfff lookup 100
local default dev lo scope host
`;
const intact: RulesListing = { table, routing: [{ family: 'ip', text: routing }] };

describe('findDifference()', () => {
  it('finds none when everything is in force', () => {
    expect(findDifference(intact, ruleset)).to.equal(undefined);
  });

  const tampered: readonly (readonly [string, Partial<RulesListing>, string])[] = [
    ['the table is gone', { table: '' }, 'chain "remember" is missing'],
    [
      'a chain is gone',
      { table: table.replace('chain recall', 'chain other') },
      'chain "recall" is missing',
    ],
    ['a rule is gone', { table: table.replace(/\t\tmeta l4proto.*\n/, '') }, 'chain "outbound"'],
    [
      'a rule was added',
      {
        table: table.replace(
          'dstnat; policy accept;',
          'dstnat; policy accept;\n\t\ttcp dport 80 accept',
        ),
      },
      'chain "inbound"',
    ],
    [
      'rules changed places',
      { table: table.replace(whys('outbound')[0]!, whys('outbound')[1]!) },
      'chain "outbound"',
    ],
    [
      'a chain is hooked elsewhere',
      { table: table.replace('nat hook output', 'nat hook input') },
      'not where',
    ],
    [
      'a chain drops what it does not know',
      { table: table.replace('dstnat; policy accept', 'dstnat; policy drop') },
      'not where',
    ],
    [
      'the routing rule is gone',
      { routing: [{ family: 'ip', text: 'local default dev lo scope host\n' }] },
      'the rule',
    ],
    [
      'the route is gone',
      { routing: [{ family: 'ip', text: routing.split('\n')[0]! }] },
      'the route',
    ],
    [
      'the route of IPv6 is gone',
      {
        routing: [
          { family: 'ip', text: routing },
          { family: 'ip6', text: '' },
        ],
      },
      '(ip6)',
    ],
  ];
  for (const [what, changed, difference] of tampered) {
    it(`says so when ${what}`, () => {
      expect(findDifference({ ...intact, ...changed }, ruleset)).to.contain(difference);
    });
  }

  it('tells rules that drain from those that capture', () => {
    expect(findDifference(intact, drainRules(ruleset))).to.contain('chain "outbound"');
  });
});
