import { once } from 'node:events';
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';

import type { MeshDelta } from '#dataplane/state/delta.ts';
import { MeshStore } from '#dataplane/state/store.ts';
import { type LocalSource, MeshSource } from '#ztunnel/mesh-source.ts';

/** No test waits for so long: a file that is written in place is not taken up. */
const NEVER_MS = 3_600_000;
/** Longer than the two looks at a file that was replaced take. */
const WHILE_MS = 150;

const NO_BOB = '- {name: no-bob, namespace: default, scope: Global, action: Deny, rules: []}\n';
const NO_EVE = '- {name: no-eve, namespace: default, scope: Global, action: Deny, rules: []}\n';
const BOTH = `policies:\n${NO_BOB}${NO_EVE}`;

let directory: string;
let path: string;
let source: MeshSource;
let store: MeshStore;
let heard: string[];
let wake: () => void;

function hear(line: string): void {
  heard.push(line);
  wake();
}

function open(from: LocalSource = { kind: 'file', path }, steadyMs?: number): MeshSource {
  const events = {
    onDelta: (delta: MeshDelta) => {
      store.apply(delta);
      hear(`in force: ${namesInForce().join(' ')}`);
    },
    onRefused: (problems: readonly string[]) => hear(`refused: ${problems.join('\n')}`),
    onWarning: (warning: string) => hear(`warning: ${warning}`),
  };
  source = new MeshSource(from, events, steadyMs);
  return source;
}

function namesInForce(): readonly string[] {
  return store
    .snapshot()
    .policies.map(({ name }) => name)
    .toSorted();
}

/** A file as somebody wrote it a while ago. */
function writeOld(file: string, text: string): void {
  writeFileSync(file, text);
  utimesSync(file, 1, 1);
}

async function startWith(text: string, steadyMs?: number): Promise<void> {
  writeOld(path, text);
  expect(await open({ kind: 'file', path }, steadyMs).load()).to.deep.equal([]);
  heard.length = 0;
  source.follow();
}

/** Resolves with everything heard since the start, when there are `count` lines. */
async function hears(count: number): Promise<readonly string[]> {
  while (heard.length < count) {
    const { promise, resolve } = Promise.withResolvers<void>();
    wake = resolve;
    await promise;
  }
  return heard;
}

function replace(text: string): void {
  writeFileSync(`${path}.new`, text);
  renameSync(`${path}.new`, path);
}

describe('MeshSource', function () {
  this.timeout(60_000);
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'ambit-mesh-source-'));
    path = join(directory, 'mesh.yaml');
    store = new MeshStore();
    heard = [];
    wake = () => undefined;
  });

  afterEach(() => {
    source.close();
    rmSync(directory, { recursive: true });
  });

  describe('load()', () => {
    it('takes up what a file says', async () => {
      writeOld(path, BOTH);
      expect(await open().load()).to.deep.equal([]);
      expect(heard).to.deep.equal(['in force: no-bob no-eve']);
    });

    it('waits until a file that was just written to rests', async () => {
      writeFileSync(path, `policies:\n${NO_BOB}`);
      const loaded = open().load();
      await sleep(100);
      appendFileSync(path, NO_EVE);
      expect(await loaded).to.deep.equal([]);
      expect(heard).to.deep.equal(['in force: no-bob no-eve']);
    });

    it('warns when there is no list of policies', async () => {
      writeOld(path, 'workloads: []\n');
      expect(await open().load()).to.deep.equal([]);
      expect(heard).to.deep.equal([
        `warning: ${path}: there is no "policies": write "policies: []" if there should be none`,
        'in force: ',
      ]);
    });

    it('warns of policies that restrict nobody', async () => {
      writeOld(path, `policies:\n${NO_BOB.replace('Global', 'Namespace')}`);
      expect(await open().load()).to.deep.equal([]);
      expect(heard).to.deep.equal([
        `warning: ${path}: policy "default/no-bob" restricts nobody: no workload is in namespace "default"`,
        'in force: no-bob',
      ]);
    });

    it('reads a text that was given as it is, too', async () => {
      expect(await open({ kind: 'inline', text: BOTH }).load()).to.deep.equal([]);
      expect(heard).to.deep.equal(['in force: no-bob no-eve']);
    });

    it('says that there is no file', async () => {
      const [problem] = await open().load();
      expect(problem).to.include('(LOCAL_XDS_PATH)').and.include('ENOENT').and.include(path);
    });

    it('says that a directory, a device or a socket is no file, and waits for none of them', async () => {
      const socket = join(directory, 'socket');
      const server = createServer().listen(socket);
      await once(server, 'listening');
      for (const [other, what] of [
        [directory, 'a directory'],
        ['/dev/zero', 'a pipe, a socket or a device'],
        [socket, 'a pipe, a socket or a device'],
      ] as const) {
        expect(await open({ kind: 'file', path: other }).load()).to.deep.equal([
          `${other} (LOCAL_XDS_PATH) is ${what}: want a file of YAML or JSON`,
        ]);
      }
      server.close();
    });
  });

  describe('follow()', () => {
    it('takes a file that replaces the one before at once', async () => {
      await startWith(BOTH, NEVER_MS);
      replace(`policies:\n${NO_EVE}`);
      expect(await hears(2)).to.deep.equal([
        'warning: policies are no longer in force: default/no-bob',
        'in force: no-eve',
      ]);
      replace(BOTH);
      expect((await hears(3)).at(-1)).to.equal('in force: no-bob no-eve');
    });

    it('takes a link that leads to another file at once when that file rests', async () => {
      mkdirSync(join(directory, 'one'));
      mkdirSync(join(directory, 'two'));
      writeOld(join(directory, 'one', 'mesh.yaml'), BOTH);
      writeOld(join(directory, 'two', 'mesh.yaml'), 'policies: []\n');
      symlinkSync('one', join(directory, 'data'));
      symlinkSync('data/mesh.yaml', path);
      await open({ kind: 'file', path }, 60_000).load();
      source.follow();
      symlinkSync('two', join(directory, 'data.new'));
      renameSync(join(directory, 'data.new'), join(directory, 'data'));
      expect((await hears(3)).at(-1)).to.equal('in force: ');
    });

    it('takes nothing of a file that is written in place until it rests', async () => {
      await startWith(BOTH);
      writeFileSync(path, `policies:\n${NO_BOB}`);
      await sleep(WHILE_MS);
      appendFileSync(path, NO_EVE.replace('Deny', 'Allow'));
      await sleep(WHILE_MS);
      appendFileSync(path, 'services: []\n');
      expect(await hears(1)).to.deep.equal(['in force: no-bob no-eve']);
      expect(store.snapshot().policies.map(({ action }) => action)).to.deep.equal([
        'Deny',
        'Allow',
      ]);
    });

    it('takes nothing of a file that is removed and written again in place until it rests', async () => {
      await startWith(BOTH, NEVER_MS);
      renameSync(path, `${path}~`);
      writeFileSync(path, 'policies: []\n');
      await sleep(WHILE_MS);
      expect(heard).to.deep.equal([]);
    });

    it('refuses a file without a list of policies while some are in force, not an empty list', async () => {
      await startWith(BOTH);
      replace('workloads: []\n');
      expect(await hears(1)).to.deep.equal([
        `refused: ${path}: there is no "policies", and 2 are in force: write "policies: []" to lift them all`,
      ]);
      expect(namesInForce()).to.deep.equal(['no-bob', 'no-eve']);
      replace('workloads: []\npolicies: []\n');
      expect((await hears(3)).at(-1)).to.equal('in force: ');
    });

    it('says once that the file has gone, and then what came in its place', async () => {
      await startWith(BOTH, 20);
      rmSync(path);
      expect((await hears(1)).at(-1)).to.include('ENOENT');
      mkdirSync(path);
      expect((await hears(2)).at(-1)).to.include('is a directory');
      rmSync(path, { recursive: true });
      expect((await hears(3)).at(-1)).to.include('ENOENT');
      replace(BOTH.replace('eve', 'mallory'));
      expect((await hears(5)).at(-1)).to.equal('in force: no-bob no-mallory');
    });

    it('says nothing when the same comes again', async () => {
      await startWith(BOTH, 20);
      replace(BOTH);
      writeFileSync(path, BOTH);
      replace('policies: []\n');
      expect((await hears(2)).at(-1)).to.equal('in force: ');
    });
  });
});
