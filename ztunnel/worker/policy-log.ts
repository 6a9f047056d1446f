import type { LogLevels } from '#common/log/filter.ts';
import { type LineSink, Logger } from '#common/log/logger.ts';
import type { Verdict } from '#dataplane/authz/evaluate.ts';
import type { ConnectionFacts } from '#dataplane/authz/match.ts';

import type { WorkerSettings } from './protocol.ts';

/** As operators name it in log filters. */
const SCOPE = 'rbac';

/** Writes what policies decide about connections, and what those that are only tried out would decide. */
export class PolicyLog {
  readonly #log: Logger;
  readonly #level: 'info' | 'debug';

  constructor(sink: LineSink & { readonly levels: LogLevels }, settings: WorkerSettings) {
    const { levels } = sink;
    const { format } = settings.log;
    this.#log = new Logger({ levels, format, sink, now: () => Date.now() }, SCOPE);
    this.#level = settings.policyInfoLogging ? 'info' : 'debug';
  }

  write(facts: ConnectionFacts, verdict: Verdict): void {
    // Asked first: nearly always nobody wants it, and it would be text for every connection.
    if (!this.#log.enabled(this.#level)) return;
    const connection = {
      'src.ip': facts.sourceIp,
      'src.identity': facts.identity,
      'dst.ip': facts.destinationIp,
      'dst.port': facts.destinationPort,
    };
    for (const { policy, effect } of verdict.dryRun) {
      this.#log[this.#level]('dry run', { ...connection, policy, effect });
    }
    if (verdict.kind === 'allow') {
      this.#log[this.#level]('allow', { ...connection, policy: verdict.by });
    } else {
      const { policy, reason } = verdict;
      this.#log[this.#level]('deny', { ...connection, policy, reason });
    }
  }
}
