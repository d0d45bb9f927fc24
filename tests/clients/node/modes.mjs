// openai for Node, three short sessions over TLS: push to talk, a transcription session, and the browser's way in
// (OpenAIRealtimeWebSocket: the key in a subprotocol). node modes.mjs URL CLIPS OUT

import OpenAI from 'openai';
import { OpenAIRealtimeWebSocket } from 'openai/realtime/websocket';
import { OpenAIRealtimeWS } from 'openai/realtime/ws';
import { WebSocket } from 'ws';

import { fromCommandLine } from './call.mjs';

globalThis.WebSocket ??= WebSocket; // Node 20 has none of its own; in a browser it is there

const [url, call] = fromCommandLine();
const client = new OpenAI({ baseURL: `${url}/v1`, dangerouslyAllowBrowser: true });

// The next event of this type; an error ends the program.
function next(realtime, type) {
  return new Promise((resolve) => realtime.once(type, resolve));
}

function watched(realtime) {
  realtime.on('error', (error) => call.tell('error', { message: String(error) }));
  return realtime;
}

function append(realtime, pcm) {
  for (let at = 0; at < pcm.length; at += 4_800) {
    const audio = pcm.subarray(at, at + 4_800).toString('base64');
    realtime.send({ type: 'input_audio_buffer.append', audio });
  }
}

async function pushToTalk(realtime, name) {
  await next(realtime, 'session.created');
  const input = { transcription: { model: 'whisper-1' }, turn_detection: null };
  realtime.send({ type: 'session.update', session: { type: 'realtime', audio: { input } } });
  await next(realtime, 'session.updated');
  realtime.on('response.output_audio.delta', ({ delta }) => call.audio(Buffer.from(delta, 'base64')));
  const heard = next(realtime, 'conversation.item.input_audio_transcription.completed');
  const done = next(realtime, 'response.done');
  append(realtime, call.clip('question'));
  realtime.send({ type: 'input_audio_buffer.commit' });
  realtime.send({ type: 'response.create' });
  const { transcript } = await heard;
  const { response } = await done;
  call.tell(name, { heard: transcript, status: response.status, said: response.output[0].content[0].transcript });
  call.keep(name);
  realtime.close();
}

async function transcribe() {
  const realtime = watched(new OpenAIRealtimeWS({ intent: 'transcription' }, client));
  await next(realtime, 'session.created');
  const input = { transcription: { model: 'whisper-1', language: 'en' }, turn_detection: null };
  realtime.send({ type: 'session.update', session: { type: 'transcription', audio: { input } } });
  const { session } = await next(realtime, 'session.updated');
  const heard = next(realtime, 'conversation.item.input_audio_transcription.completed');
  append(realtime, call.clip('question'));
  realtime.send({ type: 'input_audio_buffer.commit' });
  const { transcript } = await heard;
  call.tell('transcription', { heard: transcript, session: session.type });
  realtime.close();
}

await pushToTalk(watched(new OpenAIRealtimeWS({ model: 'voxtral-voice' }, client)), 'push_to_talk');
await pushToTalk(watched(new OpenAIRealtimeWebSocket({ model: 'voxtral-voice' }, client)), 'browser');
await transcribe();
