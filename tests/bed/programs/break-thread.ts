// Runs a line of JavaScript in a worker thread of a Node.js program that listens for debuggers, as an operator
// with a debugger could: for faults that nothing else can bring about from outside.
//
//   node tests/bed/programs/break-thread.ts INSPECTOR_PORT THREAD_NAME EXPRESSION
//
// Prints `sent` when the thread has got it; what becomes of it shows in the program.

interface Target {
  readonly webSocketDebuggerUrl: string;
}

interface Notice {
  readonly method?: string;
  readonly params?: {
    readonly sessionId: string;
    readonly workerInfo: { readonly title: string };
  };
}

const [port = '', thread = '', expression = ''] = process.argv.slice(2);
const targets = (await (await fetch(`http://127.0.0.1:${port}/json/list`)).json()) as Target[];
const socket = new WebSocket(targets[0]?.webSocketDebuggerUrl ?? '');

const say = (id: number, method: string, params: object): void => {
  socket.send(JSON.stringify({ id, method, params }));
};

socket.addEventListener('open', () => {
  say(1, 'NodeWorker.enable', { waitForDebuggerOnStart: false });
});

let sent = false;
socket.addEventListener('message', ({ data }) => {
  const { method, params } = JSON.parse(String(data)) as Notice;
  if (method !== 'NodeWorker.attachedToWorker' || params === undefined) return;
  const { sessionId, workerInfo } = params;
  // What stands in for a thread that has died has its name.
  if (sent || !workerInfo.title.includes(thread)) return;
  sent = true;
  const message = JSON.stringify({ id: 1, method: 'Runtime.evaluate', params: { expression } });
  say(2, 'NodeWorker.sendMessageToWorker', { sessionId, message });
  process.stdout.write('sent\n');
  socket.close();
});
