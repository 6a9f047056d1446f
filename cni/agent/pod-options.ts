import type { StringMap } from '#kube/resources.ts';

/** What a pod asks for by annotations; undefined: it says nothing (readable). */
export interface PodOptions {
  readonly bypassInbound: boolean | undefined;
  readonly dns: boolean | undefined;
  /** Annotations that cannot be read, and what would be right. */
  readonly problems: readonly string[];
}

const BYPASS = 'ambient.istio.io/bypass-inbound-capture';
const DNS = 'ambient.istio.io/dns-capture';
/** The spellings of Go's strconv.ParseBool: what others read from the same annotations. */
const TRUE = new Set(['1', 't', 'T', 'TRUE', 'true', 'True']);
const FALSE = new Set(['0', 'f', 'F', 'FALSE', 'false', 'False']);

/** Reads a pod's options. One that cannot be read counts as not set: it must not keep the pod out of the mesh. */
export function readPodOptions(annotations: StringMap = {}): PodOptions {
  const problems: string[] = [];
  const read = (name: string): boolean | undefined => {
    const value = annotations[name];
    if (value === undefined) return undefined;
    if (TRUE.has(value)) return true;
    if (FALSE.has(value)) return false;
    problems.push(
      `Cannot read annotation ${name}=${JSON.stringify(value)}: want "true" or "false"`,
    );
    return undefined;
  };
  return { bypassInbound: read(BYPASS), dns: read(DNS), problems };
}
