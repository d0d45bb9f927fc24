// @openai/agents-realtime: a RealtimeSession with a tool, over its WebSocket transport. node agents.mjs URL CLIPS OUT

import { RealtimeAgent, RealtimeSession, tool } from '@openai/agents-realtime';
import { z } from 'zod';

import { fromCommandLine } from './call.mjs';

const [url, call] = fromCommandLine();
const weather = tool({
  name: 'get_weather',
  description: 'What the weather is like in a city.',
  parameters: z.object({ city: z.string() }),
  execute: async ({ city }) => call.weather(city),
});
const agent = new RealtimeAgent({
  name: 'Assistant',
  instructions: 'You are a helpful voice assistant.',
  tools: [weather],
});
const session = new RealtimeSession(agent, { transport: 'websocket', model: 'voxtral-voice' });

session.on('error', (error) => call.tell('error', { message: JSON.stringify(error) }));
session.on('audio', ({ data }) => call.audio(Buffer.from(data)));
session.on('audio_interrupted', () => call.interrupted());
session.on('agent_end', () => call.over());
for (const kind of ['uncaughtException', 'unhandledRejection']) {
  process.on(kind, (error) => call.tell('error', { message: `${kind}: ${error?.stack ?? error}` }));
}

const address = `${url.replace('http', 'ws')}/v1/realtime?model=voxtral-voice`;
await session.connect({ apiKey: 'any', url: address });
const stop = call.microphone((pcm) => session.sendAudio(new Uint8Array(pcm).buffer));

// Push to talk: from now on the client says when a turn is over.
async function press(pcm) {
  const input = { transcription: { model: 'whisper-1' }, turnDetection: null };
  session.transport.updateSessionConfig({ audio: { input } });
  session.sendAudio(new Uint8Array(pcm).buffer, { commit: true });
  session.transport.sendEvent({ type: 'response.create' });
}

await call.run(async (text) => session.sendMessage(text), press);
stop();
const messages = session.history.filter((item) => item.type === 'message');
const items = messages.map(({ role, content }) => ({
  role,
  text: content.map((part) => part.transcript ?? part.text ?? '').join(' '),
}));
call.tell('history', { items });
session.close();
