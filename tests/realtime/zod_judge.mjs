// Judges what our server sends by @openai/agents-realtime itself: its schemas, and its transport with a socket of ours.
//
//     node zod_judge.mjs <node_modules> < events, one JSON object a line > faults, one JSON object a line
//
// The schemas are no part of the package's front, so they are loaded by their path. An event of a type that the schemas
// do not list is passed on by the SDK as it is, and is no fault; nor is an item with a picture, which the SDK sends but
// its schemas do not list.

import path from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const dist = path.resolve(process.argv[2], '@openai', 'agents-realtime', 'dist');
const load = (file) => import(pathToFileURL(path.join(dist, file)).href);
const { realtimeServerEventSchema } = await load('openaiRealtimeEvents.mjs');
const { OpenAIRealtimeWebSocket } = await load('index.mjs');

class Socket {
  #listeners = {};
  readyState = 1;

  addEventListener(kind, listener) {
    (this.#listeners[kind] ??= []).push(listener);
  }

  tell(line) {
    for (const listener of this.#listeners.message ?? []) listener({ data: line });
  }

  send() {}

  close() {}
}

const socket = new Socket();
const transport = new OpenAIRealtimeWebSocket({
  createWebSocket: async () => socket,
  skipOpenEventListeners: true,
  useInsecureApiKey: true,
});
transport.on('error', () => {}); // our own `error` events come here too
await transport.connect({ apiKey: 'none', model: 'none', initialSessionConfig: {} });

const known = new Set(realtimeServerEventSchema.options.map((option) => option.shape.type.value));
const showsPicture = (event) => event.item?.content?.some((part) => part.type === 'input_image') ?? false;
let count = 0;
const fault = (line, why) => process.stdout.write(`${JSON.stringify({ line, why: String(why), number: count })}\n`);
console.error = (...words) => fault('', `console.error ${words.join(' ')}`);

for await (const line of createInterface({ input: process.stdin })) {
  const event = JSON.parse(line);
  count += 1;
  if (known.has(event.type) && !showsPicture(event)) {
    const result = realtimeServerEventSchema.safeParse(event);
    if (!result.success) fault(line, JSON.stringify(result.error.issues));
  }
  try {
    socket.tell(line);
  } catch (error) {
    fault(line, error);
  }
}
process.stdout.write(`${JSON.stringify({ judged: count, known: known.size })}\n`);
process.exit(0);
