// One call, as every program here makes it; the same as ../programs/call.py, where the words are explained.

import { EventEmitter, once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const RATE_HZ = 24_000;
const CHUNK_MS = 20;
const CHUNK_BYTES = 960;
const PATIENCE_MS = 40_000;
const CUT_AFTER_MS = 2_500;
const WRITTEN = 'What did I say first?';

export class Call {
  constructor(clips, out) {
    this.clips = clips;
    this.out = out;
    this.saying = Buffer.alloc(0);
    this.room = Buffer.alloc(CHUNK_BYTES);
    for (let at = 0; at < CHUNK_BYTES; at += 2) this.room.writeInt16LE(((at * 7919) % 21) - 10, at);
    this.muted = false;
    this.changes = new EventEmitter();
    this.forget();
  }

  // --- what the client brings

  audio(pcm) {
    this.sound.push(Buffer.from(pcm));
    this.playsUntil = Math.max(performance.now(), this.playsUntil) + (pcm.byteLength / 2 / RATE_HZ) * 1000;
    this.changes.emit('change');
  }

  over() {
    this.isOver ||= this.sound.length > 0;
    this.changes.emit('change');
  }

  interrupted() {
    this.isCut = this.sound.length > 0;
    this.playsUntil = performance.now();
    this.changes.emit('change');
  }

  get isPlaying() {
    return this.sound.length > 0 && (!this.isOver || this.playsUntil > performance.now());
  }

  // How much of the answer's sound has been played by now.
  get playedMs() {
    const allMs = (Buffer.concat(this.sound).length / 2 / RATE_HZ) * 1000;
    return Math.max(0, Math.floor(allMs - Math.max(0, this.playsUntil - performance.now())));
  }

  tell(kind, fields = {}) {
    console.log(JSON.stringify({ kind, ...fields }));
  }

  weather(city) {
    this.tell('tool', { city });
    return 'warm and sunny';
  }

  // --- the user

  // send: takes 20 ms at a time, at the pace of speech, until the program ends.
  microphone(send) {
    const begin = performance.now();
    let sent = 0;
    const timer = setInterval(() => {
      while (sent * CHUNK_MS < performance.now() - begin) {
        sent += 1;
        if (this.muted) continue;
        const words = this.saying.subarray(0, CHUNK_BYTES);
        const spoke = this.saying.length > 0;
        this.saying = this.saying.subarray(CHUNK_BYTES);
        send(Buffer.concat([words, this.room.subarray(words.length)]));
        if (spoke && this.saying.length === 0) this.changes.emit('change');
      }
    }, CHUNK_MS / 2);
    return () => clearInterval(timer);
  }

  clip(name) {
    return readFileSync(join(this.clips, `${name}.pcm`));
  }

  // The plan: a question, one that needs a tool, an interruption, and a question that is written.
  // press: the microphone is off; says this with a button, where a client can.
  async run(write, press) {
    await this.answered('question', this.say('question'));
    await this.answered('weather', this.say('weather'));
    await this.say('story');
    await this.until(() => this.sound.length > 0, 'the story began');
    await sleep(CUT_AFTER_MS);
    const speaking = this.say('repeat');
    await this.until(() => this.isCut || this.isOver, 'the story stopped');
    this.keep('story');
    await this.answered('repeat', speaking);
    await this.answered('written', write(WRITTEN));
    if (!press) return;
    this.muted = true;
    await this.answered('pressed', press(this.clip('question')));
  }

  async say(name) {
    this.saying = Buffer.concat([this.saying, this.clip(name)]);
    await this.until(() => this.saying.length === 0, 'the words were spoken');
  }

  async answered(name, asking) {
    await asking;
    await this.until(() => this.isOver, `${name} was answered`);
    await sleep(Math.max(0, this.playsUntil - performance.now()));
    this.keep(name);
  }

  keep(name) {
    const file = join(this.out, `${name}.pcm`);
    writeFileSync(file, Buffer.concat(this.sound));
    this.tell('answer', { name, file });
    this.forget();
  }

  forget() {
    this.sound = [];
    this.playsUntil = 0;
    this.isOver = false;
    this.isCut = false;
  }

  async until(reached, what) {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    try {
      while (!reached()) await once(this.changes, 'change', { signal });
    } catch (error) {
      console.error(`${PATIENCE_MS} ms went by before ${what}: ${error}`);
      process.exit(1);
    }
  }
}

// URL (http://host:port or https://...), and the call, from the command line: URL CLIPS OUT.
export function fromCommandLine() {
  const [url, clips, out] = process.argv.slice(2);
  return [url, new Call(clips, out)];
}
