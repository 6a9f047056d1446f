import { expect } from 'chai';
import { assert, constantFrom, json, nat, oneof, property, string } from 'fast-check';
import { describe, it } from 'mocha';
import { PROBLEMS_MAX } from '#dataplane/state/config-value.ts';
import { diff, EMPTY_SNAPSHOT } from '#dataplane/state/delta.ts';
import { parseLocalConfig } from '#dataplane/state/local-config.ts';
import { MeshStore } from '#dataplane/state/store.ts';
import { identityOf } from '#dataplane/state/workload.ts';

const RUNS = { numRuns: 300 };
/** Longer texts: more can happen in each, and each takes longer. */
const FEWER_RUNS = { numRuns: 100 };

const GOOD = `workloads:
- {uid: a, name: a, namespace: n, workloadIps: [10.0.0.1, "::1"], protocol: HBONE, services: {n/h: {80: 81}}}
- &w {uid: b, name: b, namespace: n, waypoint: {destination: /10.0.0.1, hboneMtlsPort: 15008}, authorizationPolicies: [n/p]}
services:
- {name: s, namespace: n, hostname: h, vips: [/10.1.0.1], cidrVips: [/10.2.0.0/16], ports: {80: 0}}
policies:
- name: p
  namespace: n
  scope: WorkloadSelector
  action: Allow
  rules:
  - - - {principals: [!Exact a, !Presence ], sourceIps: [10.0.0.0/8], destinationPorts: [80]}
    - - {namespaces: [{Prefix: x}]}
`;

/** Whatever the text: an answer, with problems inside of it or with data that the rest can work with. */
function check(text: string): void {
  const config = parseLocalConfig(text, 'mesh.yaml');
  if (config.kind === 'refused') {
    expect(config.problems).to.have.length.within(1, PROBLEMS_MAX);
    for (const { line, column, message } of config.problems) {
      expect(line).to.be.within(1, text.split(/\r\n?|\n/).length);
      expect(column).to.be.at.least(1);
      expect(message.length).to.be.within(1, 1_000);
    }
    return;
  }
  for (const workload of config.snapshot.workloads) identityOf(workload);
  const store = new MeshStore();
  store.apply(diff(EMPTY_SNAPSHOT, structuredClone(config.snapshot)));
  expect(store.snapshot()).to.deep.equal(config.snapshot);
}

describe('parseLocalConfig() of any text', function () {
  // Parsing YAML takes its time on a busy machine.
  it('accepts the text that the following ones are made from', () => {
    expect(parseLocalConfig(GOOD, 'mesh.yaml').kind).to.equal('ok');
  });

  it('never throws for random characters', () => {
    assert(property(string({ unit: 'binary', maxLength: 200 }), check), RUNS);
  });

  it('never throws for random JSON, bare and inside of the sections', () => {
    const section = constantFrom('workloads', 'services', 'policies');
    assert(
      property(section, json(), (name, value) => {
        check(value);
        check(`{"${name}": ${value}}`);
        check(`{"${name}": [${value}]}`);
      }),
      RUNS,
    );
  });

  it('never throws for a good text with a piece put in, cut out or doubled', () => {
    const piece = oneof(
      string({ maxLength: 5 }),
      constantFrom(
        '*w',
        '&w ',
        '!Exact ',
        '- ',
        '? ',
        ': ',
        '{',
        '}',
        '[',
        ']',
        '\n',
        '"',
        '---\n',
        '<<: *w',
        '|',
        '\t',
      ),
    );
    const place = nat({ max: GOOD.length });
    assert(
      property(place, nat({ max: 30 }), piece, (start, length, inserted) => {
        const rest = GOOD.slice(start + length);
        check(GOOD.slice(0, start) + inserted + rest);
        check(GOOD.slice(0, start + length) + inserted + GOOD.slice(start));
      }),
      FEWER_RUNS,
    );
  });
});
