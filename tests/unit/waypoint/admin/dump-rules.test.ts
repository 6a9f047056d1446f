import { expect } from 'chai';
import { describe, it } from 'mocha';

import { Action } from '#api/gen/waypoint_pb.ts';
import { exact, policy, route, SHOP } from '#tests/support/waypoint-resources.ts';
import { dumpRules } from '#waypoint/admin/dump-rules.ts';

describe('dumpRules()', () => {
  it('shows a route with its matches, filters and backends', () => {
    const header = { name: 'x-user', value: { case: 'regex', value: 'ann.*' } } as const;
    const removal = { set: [{ name: 'x-a', value: '1' }], remove: ['x-b'] };
    const rules = [
      {
        matches: [{ headers: [header] }],
        filters: [{ kind: { case: 'requestHeaders', value: removal } }],
        backends: [{ service: SHOP, port: 80, weight: 9 }],
      },
    ] as const;
    const dumped = JSON.stringify(dumpRules(route('split', { rules: [...rules] } as object)));
    expect(dumped).to.include('"key":"HTTPRoute/default/split"');
    expect(dumped).to.include('{"name":"x-user","rule":{"kind":"regex","expression":"ann.*"}}');
    expect(dumped).to.include('{"kind":"request-headers","edits":{"dropped":["x-b","x-a"]');
    expect(dumped).to.include('"appended":[["x-a","1"]]');
    expect(dumped).to.include('"weight":9');
  });

  it('shows a policy with blocks of addresses and templates as they are written', () => {
    const given = {
      action: Action.DENY,
      rules: [
        {
          from: [{ ipBlocks: ['10.0.0.0/8'] }],
          to: [
            { methods: [exact('GET')], paths: [{ kind: { case: 'template', value: '/a/{*}' } }] },
          ],
        },
      ],
    } as const;
    const dumped = JSON.stringify(dumpRules(policy('no', given as object)));
    expect(dumped).to.include('"key":"default/no","action":"deny"');
    expect(dumped).to.include('"ipBlocks":{"any":["10.0.0.0/8"],"none":[]}');
    expect(dumped).to.include('{"kind":"template","value":"/a/{*}"}');
    expect(dumped).to.include('{"kind":"exact","value":"GET"}');
  });
});
