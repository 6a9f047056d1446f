/** A moment as the API's objects show it: whole seconds, UTC. */
export function apiTime(ms: number = Date.now()): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');
}
