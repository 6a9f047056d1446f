// Makes a world with one node and a program in it, says the program's pid and the node's namespace, and
// waits to be killed.
import { createWorld } from '#tests/bed/world.ts';

const world = await createWorld({
  prefix: process.argv[2] ?? '',
  nodes: [{ name: 'node', pods: [] }],
});
const sleeper = world.start(world.node('node'), ['sleep', '60']);
process.stdout.write(`${sleeper.pid} ${world.node('node').netns}\n`);
