import { NODE_PROGRAM, PROJECT } from '#playground/node/node-root.ts';
import type { Errands } from '#tests/bed/errands/errands.ts';
import type { Kubectl } from '#tests/bed/kubectl.ts';
import type { Running } from '#tests/bed/process.ts';

const DEADLINE_MS = 90_000;

type Given<Name extends keyof Errands> = Parameters<Errands[Name]>[0];
type Seen<Name extends keyof Errands> = Awaited<ReturnType<Errands[Name]>>;

/** Somebody in a pod who does errands: a program that `kubectl exec` has started, and that goes on. */
export class Caller implements AsyncDisposable {
  readonly #running: Running;
  #asked = 0;

  private constructor(running: Running) {
    this.#running = running;
  }

  /** The pod's image has to be `ambit/curl`. */
  static async in(kubectl: Kubectl, namespace: string, pod: string): Promise<Caller> {
    const errands = `${PROJECT}/tests/bed/programs/errands.ts`;
    const exec = ['exec', '-i', '-n', namespace, pod, '--', NODE_PROGRAM, errands];
    const running = kubectl.start(exec);
    await running.waitFor(/^ready$/, DEADLINE_MS);
    return new Caller(running);
  }

  async do<Name extends keyof Errands>(errand: Name, given: Given<Name>): Promise<Seen<Name>> {
    const id = ++this.#asked;
    this.#running.tell(JSON.stringify({ id, errand, given }));
    const line = await this.#running.waitFor(new RegExp(`^\\{"id":${id},`), DEADLINE_MS);
    const answer = JSON.parse(line) as { readonly seen?: Seen<Name>; readonly error?: string };
    if (answer.error !== undefined) throw new Error(`${errand}: ${answer.error}`);
    return answer.seen as Seen<Name>;
  }

  /** What curl prints; throws when it fails. */
  async curl(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.tryCurl(...args);
    if (code !== 0) throw new Error(`curl ${args.join(' ')}: ${code} ${stderr}`);
    return stdout;
  }

  async tryCurl(...args: readonly string[]): Promise<Seen<'run'>> {
    return this.do('run', { command: ['curl', '-sS', '-m', '30', ...args] });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#running.stop();
  }
}
