// OpenAI's own calls over HTTP: node rest.mjs URL CLIPS ANSWERS. Prints JSON lines.
import { createReadStream, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import OpenAI from 'openai';

const [url, , answers] = process.argv.slice(2);
const client = new OpenAI({ apiKey: 'any', baseURL: `${url}/v1`, maxRetries: 0 });
const told = (kind, fields) => console.log(JSON.stringify({ kind, ...fields }));

const models = [];
for await (const model of client.models.list()) models.push(model.id);
told('models', { models });

const input = 'Please turn left at the church, then cross the bridge. The weather will be cold and cloudy tomorrow, so take a warm coat.';
const speech = await client.audio.speech.create({ model: 'tts-1', voice: 'alloy', input });
const file = join(answers, 'speech.mp3');
writeFileSync(file, Buffer.from(await speech.arrayBuffer()));

const whole = await client.audio.transcriptions.create({ model: 'whisper-1', file: createReadStream(file), language: 'en' });
const pieces = [];
const options = { model: 'whisper-1', file: createReadStream(file), language: 'en', stream: true };
for await (const event of await client.audio.transcriptions.create(options)) pieces.push(event);
told('speech', { input, whole: whole.text, done: pieces.at(-1).type, streamed: pieces.at(-1).text });

const messages = [{ role: 'user', content: 'Good morning.' }];
const answer = await client.chat.completions.create({ model: 'gpt-4o-mini', messages });
let streamed = '';
for await (const chunk of await client.chat.completions.create({ model: 'gpt-4o-mini', messages, stream: true })) {
  streamed += chunk.choices[0]?.delta?.content ?? '';
}
told('chat', { said: answer.choices[0].message.content, streamed });

try {
  await client.models.retrieve('nothing-like-this');
} catch (error) {
  told('missing', { status: error.status, code: error.code });
}
