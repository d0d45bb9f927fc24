// openai for Node: OpenAIRealtimeWS, over TLS (it knows no other way). node openai.mjs URL CLIPS OUT
// The environment gives OPENAI_API_KEY, and NODE_EXTRA_CA_CERTS for the server's own certificate.

import OpenAI from 'openai';
import { OpenAIRealtimeWS } from 'openai/realtime/ws';

import { fromCommandLine } from './call.mjs';

const [url, call] = fromCommandLine();
const client = new OpenAI({ baseURL: `${url}/v1` });
const realtime = new OpenAIRealtimeWS({ model: 'voxtral-voice' }, client);
const tool = {
  type: 'function',
  name: 'get_weather',
  description: 'What the weather is like in a city.',
  parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
};
const history = new Map();
let speaking = '';

realtime.on('error', (error) => call.tell('error', { message: String(error) }));

realtime.on('conversation.item.added', ({ item }) => {
  if (item.type === 'message') history.set(item.id, { role: item.role, text: item.content[0]?.text ?? '' });
});
realtime.on('conversation.item.input_audio_transcription.completed', ({ item_id, transcript }) => {
  history.get(item_id).text = transcript;
});
realtime.on('response.output_audio_transcript.delta', ({ item_id, delta }) => {
  history.get(item_id).text += delta;
});
realtime.on('response.output_audio.delta', ({ item_id, delta }) => {
  speaking = item_id;
  call.audio(Buffer.from(delta, 'base64'));
});
realtime.on('input_audio_buffer.speech_started', () => {
  if (!call.isPlaying) return;
  const cut = { item_id: speaking, content_index: 0, audio_end_ms: call.playedMs };
  realtime.send({ type: 'conversation.item.truncate', ...cut });
  call.interrupted();
});
realtime.on('conversation.item.truncated', ({ item_id }) => {
  realtime.send({ type: 'conversation.item.retrieve', item_id });
});
realtime.on('conversation.item.retrieved', ({ item }) => {
  history.get(item.id).text = item.content[0].transcript;
});
realtime.on('response.function_call_arguments.done', ({ call_id, arguments: given }) => {
  const output = call.weather(JSON.parse(given).city);
  realtime.send({ type: 'conversation.item.create', item: { type: 'function_call_output', call_id, output } });
});
realtime.on('response.done', ({ response }) => {
  if (response.output.some((item) => item.type === 'function_call')) realtime.send({ type: 'response.create' });
  call.over();
});

async function write(text) {
  const item = { type: 'message', role: 'user', content: [{ type: 'input_text', text }] };
  realtime.send({ type: 'conversation.item.create', item });
  realtime.send({ type: 'response.create' });
}

realtime.on('session.created', () => {
  const input = { transcription: { model: 'whisper-1' }, turn_detection: { type: 'server_vad' } };
  realtime.send({ type: 'session.update', session: { type: 'realtime', tools: [tool], audio: { input } } });
});

realtime.once('session.updated', async () => {
  const stop = call.microphone((pcm) =>
    realtime.send({ type: 'input_audio_buffer.append', audio: pcm.toString('base64') }),
  );
  await call.run(write);
  stop();
  call.tell('history', { items: [...history.values()] });
  realtime.close();
});
