import { execFileSync } from 'node:child_process';

import { close } from '#linux/libc.ts';
import { openNetns } from '#linux/netns.ts';

let created = 0;

/** A network namespace of a test, with its loopback up, gone at the end of the scope. */
export class NetworkNamespace implements Disposable {
  readonly name: string;
  readonly fd: number;

  constructor(prefix: string) {
    this.name = `${prefix}-${process.pid}-${created++}`;
    execFileSync('ip', ['netns', 'add', this.name]);
    this.fd = openNetns(`/run/netns/${this.name}`);
    this.run('ip', 'link', 'set', 'lo', 'up');
  }

  run(program: string, ...args: readonly string[]): string {
    return execFileSync('ip', ['netns', 'exec', this.name, program, ...args], { encoding: 'utf8' });
  }

  [Symbol.dispose](): void {
    close(this.fd);
    execFileSync('ip', ['netns', 'delete', this.name]);
  }
}
