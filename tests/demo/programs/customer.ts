// A customer of the shop: sends one order, prints the answer as one line of JSON,
// `{"answer":"3 apples, …"}` or `{"error":"…"}`.
//
//   node tests/demo/programs/customer.ts HOST PORT
import { request } from 'node:http';

const DEADLINE_MS = 10_000;

const [host = '', port = ''] = process.argv.slice(2);
const asked = request({ host, port, path: '/order', agent: false, timeout: DEADLINE_MS });
asked.on('timeout', () => asked.destroy(new Error('no answer in 10 s')));
asked.on('error', (error: NodeJS.ErrnoException) => say({ error: error.code ?? error.message }));
asked.on('response', (response) => {
  let answer = '';
  response.setEncoding('utf8');
  response.on('data', (chunk) => {
    answer += String(chunk);
  });
  response.on('end', () => say({ answer: answer.trim() }));
});
asked.end();

function say(what: object): void {
  process.stdout.write(`${JSON.stringify(what)}\n`);
}
