import type { Attempt, Validator } from './admission.ts';
import { type Attributes, forbiddenText, type RbacPolicy } from './authorization.ts';
import { forbidden } from './errors.ts';

/** Who makes an object by applying it must be allowed to create it, too. */
export class CreationCheck implements Validator {
  readonly #policy: RbacPolicy;

  constructor(policy: RbacPolicy) {
    this.#policy = policy;
  }

  /** @throws ApiError 403 */
  async validate({ info, kind, operation, request: { user } }: Attempt): Promise<void> {
    // The request itself has been looked at before.
    if (operation !== 'CREATE' || info.verb === 'create') return;
    const { group, resource, name, namespace } = info;
    const attributes: Attributes = { user, verb: 'create', group, resource, name, namespace };
    const { allowed, reason } = this.#policy.authorize(attributes);
    if (!allowed) throw forbidden(kind, name, forbiddenText(attributes, reason));
  }
}
