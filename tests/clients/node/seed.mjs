// @openai/agents-realtime writes a history, takes an item out of it, and goes on from there. node seed.mjs URL

import { once } from 'node:events';
import { RealtimeAgent, RealtimeSession } from '@openai/agents-realtime';

const [url] = process.argv.slice(2);
const agent = new RealtimeAgent({ name: 'Assistant', instructions: 'Be brief.' });
const session = new RealtimeSession(agent, { transport: 'websocket', config: { outputModalities: ['text'] } });
const tell = (kind, fields) => console.log(JSON.stringify({ kind, ...fields }));
session.on('error', (error) => tell('error', { message: JSON.stringify(error) }));

const message = (itemId, role, type, text) => ({
  itemId,
  type: 'message',
  role,
  status: 'completed',
  content: [{ type, text }],
});

// When the server has done as asked: the session's history is so long.
async function until(count) {
  while (session.history.length !== count) await once(session, 'history_updated');
}

await session.connect({ apiKey: 'any', url: `${url.replace('http', 'ws')}/v1/realtime?model=voxtral-voice` });
session.updateHistory([
  message('one', 'user', 'input_text', 'My name is Ada.'),
  message('two', 'assistant', 'output_text', 'Hello, Ada.'),
  message('three', 'user', 'input_text', 'Never mind.'),
]);
await until(3);
session.updateHistory((history) => history.filter((item) => item.itemId !== 'three'));
await until(2);
const ended = once(session, 'agent_end');
session.sendMessage('Please list them.');
await ended;
tell('listed', { text: session.history.at(-1).content[0].text });
session.close();
