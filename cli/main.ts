import { down, downUsage } from './commands/down.ts';
import { up, upUsage } from './commands/up.ts';
import { waypoint, waypointUsage } from './commands/waypoint.ts';

interface Command {
  readonly summary: string;
  readonly usage: string;
  /** Answers the exit code. */
  readonly run: (args: readonly string[]) => Promise<number>;
}

const commands = new Map<string, Command>([
  ['up', { summary: 'starts a cluster on this machine', usage: upUsage, run: up }],
  ['down', { summary: 'ends one', usage: downUsage, run: down }],
  [
    'waypoint',
    { summary: 'makes, lists and deletes waypoints', usage: waypointUsage, run: waypoint },
  ],
]);

const [name = '', ...args] = process.argv.slice(2);
const command = commands.get(name);
if (command === undefined) {
  const list = Array.from(commands, ([each, { summary }]) => `  ${each.padEnd(10)}${summary}\n`);
  const usage = `Usage: ambit COMMAND [options]\n\n${list.join('')}\n"ambit COMMAND --help" tells more.\n`;
  const isHelp = ['', '--help', '-h', 'help'].includes(name);
  if (isHelp) process.stdout.write(usage);
  else process.stderr.write(`There is no command ${JSON.stringify(name)}.\n\n${usage}`);
  process.exitCode = isHelp ? 0 : 1;
} else if (args.includes('--help') || args.includes('-h')) {
  process.stdout.write(command.usage);
} else {
  process.exitCode = await command.run(args);
}
