/**
 * Audio thread, outwards: plays the queued audio without gaps and knows exactly what was played.
 *
 * Knows: items (an id and its samples at the context's rate). Does not know: text, the socket, wall time.
 *
 * In:  {type: "push", item, samples} | {type: "end", item} | {type: "flush"} | {type: "duck", on} | {type: "tap"}
 * Out: {type: "progress", item, played, level, frame}    about every 20 ms while it plays
 *      {type: "audible", item, frame}                     once per item: where its first audible sound began
 *      {type: "gap", item, played}                        the queue ran dry inside an item
 *      {type: "drained", item, played}                    the item was played to its end
 *      {type: "flushed", heads: [[item, played]...], flushes}   everything unplayed was dropped
 *      {type: "tap", frame, samples}                      what went to the speakers, if asked for
 * `played` is in frames of the item, `frame` is a frame of the context.
 *
 * Audible: three 10 ms windows in a row above -45 dBFS; the sound began with the first of them.
 */

const FADE_S = 0.005;
const REPORT_S = 0.02;
const WINDOW_S = 0.01;
const AUDIBLE_RMS = 10 ** (-45 / 20);
const AUDIBLE_WINDOWS = 3;
const FIRST_REFILL_S = 0.06; // queued before an item starts; twice as much after each gap in it
const LONGEST_REFILL_S = 0.5;
const TAP_FRAMES = 2400;
const DUCKED = 10 ** (-12 / 20);
const DUCK_S = 0.03; // from full to ducked, and back

class Player extends AudioWorkletProcessor {
  constructor() {
    super();
    this.fadeFrames = Math.round(FADE_S * sampleRate);
    this.windowFrames = Math.round(WINDOW_S * sampleRate);
    this.reportFrames = Math.round(REPORT_S * sampleRate);
    this.duckStep = (1 - DUCKED) / (DUCK_S * sampleRate);
    this.reset();
    this.last = 0; // the last sample played; runs out softly where the sound stops at once
    this.tap = null;
    this.port.onmessage = ({ data }) => this.receive(data);
  }

  reset() {
    this.items = []; // [{item, chunks, offset, played, queued, ended, loud, window, square}], the first one plays
    this.fade = null; // frames of fade-out left; null: not fading
    this.gain = this.wanted = 1;
    this.waitForMore(FIRST_REFILL_S * sampleRate);
    this.flushes = 0; // asked for and not yet answered
    this.reported = 0;
    this.energy = 0;
  }

  /** Holds the sound back until so many frames are queued, or the item is complete. */
  waitForMore(frames) {
    this.refill = frames;
    this.nextRefill = Math.min(2 * frames, LONGEST_REFILL_S * sampleRate);
  }

  receive(message) {
    if (message.type === "push") this.push(message.item, message.samples);
    else if (message.type === "end") this.end(message.item);
    else if (message.type === "flush") this.flush();
    else if (message.type === "duck") this.wanted = message.on ? DUCKED : 1;
    else if (message.type === "tap") this.tap = { samples: new Float32Array(TAP_FRAMES), filled: 0 };
  }

  push(id, samples) {
    const entry = this.entry(id);
    entry.chunks.push(samples);
    entry.queued += samples.length;
  }

  end(id) {
    const entry = this.items.find((each) => each.item === id);
    if (entry) entry.ended = true;
  }

  entry(id) {
    let entry = this.items.find((each) => each.item === id);
    if (!entry) {
      entry = { item: id, chunks: [], offset: 0, played: 0, queued: 0, ended: false, loud: 0, window: 0, square: 0 };
      this.items.push(entry);
    }
    return entry;
  }

  flush() {
    this.flushes++;
    const playing = this.items.length > 0 && this.items[0].played > 0 && this.refill === 0;
    if (playing) this.fade ??= this.fadeFrames;
    else this.finishFlush();
  }

  finishFlush() {
    const heads = this.items.map((entry) => [entry.item, entry.played]);
    this.port.postMessage({ type: "flushed", heads, flushes: this.flushes });
    this.reset();
  }

  process(_inputs, outputs) {
    const output = outputs[0][0];
    for (let i = 0; i < output.length; i++) output[i] = this.next(currentFrame + i);
    if (this.tap) this.record(output);
    return true;
  }

  /** One sample for the speakers. */
  next(frame) {
    const sample = this.pull(frame);
    this.last = sample ?? this.last * 0.97;
    if (Math.abs(this.last) < 1e-5) this.last = 0;
    return this.last;
  }

  /** The next sample of the queue, or null where there is none to play. */
  pull(frame) {
    const entry = this.items[0];
    if (!entry) return null;
    if (entry.queued === 0) return this.ranDry(entry);
    if (!entry.ended && entry.queued < this.refill) return null;
    this.refill = 0;
    let sample = this.take(entry) * this.nextGain();
    if (this.fade !== null) sample *= --this.fade / this.fadeFrames;
    this.measure(entry, sample, frame);
    if (this.fade === 0) this.finishFlush();
    return sample;
  }

  nextGain() {
    if (this.gain < this.wanted) this.gain = Math.min(this.wanted, this.gain + this.duckStep);
    else if (this.gain > this.wanted) this.gain = Math.max(this.wanted, this.gain - this.duckStep);
    return this.gain;
  }

  take(entry) {
    const sample = entry.chunks[0][entry.offset++];
    entry.played++;
    entry.queued--;
    if (entry.offset === entry.chunks[0].length) {
      entry.chunks.shift();
      entry.offset = 0;
    }
    return sample;
  }

  ranDry(entry) {
    if (this.fade !== null) {
      this.finishFlush();
    } else if (entry.ended) {
      this.items.shift();
      this.waitForMore(FIRST_REFILL_S * sampleRate);
      this.port.postMessage({ type: "drained", item: entry.item, played: entry.played });
    } else if (entry.played > 0 && this.refill === 0) {
      this.waitForMore(this.nextRefill);
      this.port.postMessage({ type: "gap", item: entry.item, played: entry.played });
    }
    return null;
  }

  measure(entry, sample, frame) {
    this.energy += sample * sample;
    if (++this.reported >= this.reportFrames) this.report(entry, frame);
    if (entry.loud >= AUDIBLE_WINDOWS) return;
    entry.square += sample * sample;
    if (++entry.window < this.windowFrames) return;
    entry.loud = Math.sqrt(entry.square / entry.window) > AUDIBLE_RMS ? entry.loud + 1 : 0;
    entry.window = entry.square = 0;
    if (entry.loud < AUDIBLE_WINDOWS) return;
    const began = frame + 1 - AUDIBLE_WINDOWS * this.windowFrames;
    this.port.postMessage({ type: "audible", item: entry.item, frame: began });
  }

  report(entry, frame) {
    const level = Math.sqrt(this.energy / this.reported);
    this.port.postMessage({ type: "progress", item: entry.item, played: entry.played, level, frame });
    this.reported = this.energy = 0;
  }

  record(output) {
    for (let i = 0; i < output.length; i++) {
      this.tap.samples[this.tap.filled++] = output[i];
      if (this.tap.filled === TAP_FRAMES) {
        const frame = currentFrame + i + 1 - TAP_FRAMES;
        this.port.postMessage({ type: "tap", frame, samples: this.tap.samples.slice() });
        this.tap.filled = 0;
      }
    }
  }
}

registerProcessor("player", Player);
