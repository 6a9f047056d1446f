import { expect } from 'chai';
import { describe, it } from 'mocha';

import {
  containerCommand,
  findImage,
  type ImageProgram,
  parseImageMapping,
} from '#playground/node/images.ts';

function program(...command: string[]): ImageProgram {
  return { command, environment: {}, standsIn: true };
}

function onMachine(name: string): boolean {
  return name === 'sleep';
}

describe('parseImageMapping()', () => {
  it('splits the program as a shell would', () => {
    expect(parseImageMapping(`nginx=/usr/sbin/nginx -g 'daemon off;' "a b"c`)).to.deep.equal({
      kind: 'ok',
      name: 'nginx',
      program: program('/usr/sbin/nginx', '-g', 'daemon off;', 'a bc'),
    });
  });

  for (const text of ['nginx', '=prog', 'nginx=', 'nginx= ', "nginx='open"]) {
    it(`refuses ${text}`, () => {
      const result = parseImageMapping(text);
      expect(result.kind).to.equal('refused');
      expect(result).to.have.property('problem').that.includes('want NAME=PROGRAM');
    });
  }
});

describe('findImage()', () => {
  const images = new Map([
    ['nginx', program('any')],
    ['nginx:1.27', program('exact')],
    ['localhost:5000/tool', program('registry')],
  ]);
  for (const [image, found] of [
    ['nginx:1.27', 'exact'],
    ['docker.io/library/nginx:1.27', 'exact'],
    ['nginx:1.28', 'any'],
    ['nginx@sha256:12', 'any'],
    ['localhost:5000/tool:v1', 'registry'],
    ['localhost:5000/other', undefined],
    ['quay.io/nginx', undefined],
  ] as const) {
    it(`finds ${found ?? 'nothing'} for ${image}`, () => {
      expect(findImage(images, image)?.command[0]).to.equal(found);
    });
  }
});

describe('containerCommand()', () => {
  const image = program('prog', '--flag');
  it('gives the arguments to the program', () => {
    expect(containerCommand(image, [], ['a'], onMachine)).to.deep.equal(['prog', '--flag', 'a']);
  });
  it('runs a command that the machine has', () => {
    expect(containerCommand(image, ['sleep'], ['9'], onMachine)).to.deep.equal(['sleep', '9']);
  });
  it('puts the program in the place of a command that the machine does not have', () => {
    const command = containerCommand(image, ['install-cni', '-v'], ['a'], onMachine);
    expect(command).to.deep.equal(['prog', '--flag', '-v', 'a']);
  });
  it('runs what an image of this project is told to, also when there is no such program', () => {
    const own = { ...image, standsIn: false };
    expect(containerCommand(own, ['slep'], ['9'], onMachine)).to.deep.equal(['slep', '9']);
  });
  it('has arguments of the image for a container without any', () => {
    const shell = { ...program(), defaultArguments: ['sh', '-c', ':'] };
    expect(containerCommand(shell, [], [], onMachine)).to.deep.equal(['sh', '-c', ':']);
    expect(containerCommand(shell, [], ['id'], onMachine)).to.deep.equal(['id']);
  });
});
