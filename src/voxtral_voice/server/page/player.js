/**
 * The speakers: queues the answer's audio into the player worklet and turns its reports into page time and ms.
 *
 * Knows: items and their audio. Does not know: the socket, text, whose turn it is.
 */

import { WIRE_HZ } from "./pcm.js";
import { NOT_SECURE, playerProblem } from "./problems.js";
import { Resampler } from "./resampler.js";

export class Player {
  /**
   * @param on  {progress(item, playedMs, level, at), audible(item, at), drained(item, playedMs), gap(item, playedMs)};
   *            `at` is page time at which the sound leaves the speakers
   */
  constructor(on) {
    this.on = on;
    this.context = null;
    this.node = null;
    this.resamplers = new Map(); // item -> Resampler, where the device does not run at 24 kHz
    this.flushing = []; // resolvers of flush(), in order
    this.recording = null;
  }

  /** Throws a problem ({title, advice}) when sound cannot be played here. */
  async open() {
    if (!isSecureContext) throw NOT_SECURE;
    try {
      await this.start();
    } catch (error) {
      throw playerProblem(error);
    }
  }

  async start() {
    this.context = newContext();
    await this.context.audioWorklet.addModule(new URL("player-worklet.js", import.meta.url));
    this.node = new AudioWorkletNode(this.context, "player", { numberOfInputs: 0, outputChannelCount: [1] });
    this.node.port.onmessage = ({ data }) => this.receive(data);
    this.node.connect(this.context.destination);
    await this.context.resume();
  }

  async close() {
    const context = this.context;
    this.context = this.node = null;
    this.resamplers.clear();
    for (const resolve of this.flushing.splice(0)) resolve([]);
    await context?.close();
  }

  /** Float32 samples at 24 kHz, behind what is queued. */
  push(item, samples) {
    const converted = this.resample(item, samples);
    this.node?.port.postMessage({ type: "push", item, samples: converted }, [converted.buffer]);
  }

  end(item) {
    this.resamplers.delete(item);
    this.node?.port.postMessage({ type: "end", item });
  }

  /** Silence at once. Resolves to [[item, playedMs]...] of everything that was queued or playing. */
  flush() {
    if (!this.node) return Promise.resolve([]);
    this.resamplers.clear();
    return new Promise((resolve) => {
      this.flushing.push(resolve);
      this.node.port.postMessage({ type: "flush" });
    });
  }

  /** Softer while it is not clear who speaks; full again after it, or with what comes after a flush. */
  duck(on) {
    this.node?.port.postMessage({ type: "duck", on });
  }

  /** From now on keep what goes to the speakers, for tests: see `recording`. */
  record() {
    this.recording = { rateHz: this.context.sampleRate, startedAt: null, blocks: [] };
    this.node.port.postMessage({ type: "tap" });
  }

  resample(item, samples) {
    if (this.context === null || this.context.sampleRate === WIRE_HZ) return samples;
    if (!this.resamplers.has(item)) this.resamplers.set(item, new Resampler(WIRE_HZ, this.context.sampleRate));
    return this.resamplers.get(item).push(samples);
  }

  receive(message) {
    const { type, item } = message;
    if (type === "progress") this.on.progress(item, this.ms(message.played), message.level, this.timeOf(message.frame));
    else if (type === "audible") this.on.audible(item, this.timeOf(message.frame));
    else if (type === "drained") this.on.drained(item, this.ms(message.played));
    else if (type === "gap") this.on.gap(item, this.ms(message.played));
    else if (type === "flushed") this.flushed(message);
    else if (type === "tap") this.keep(message);
  }

  flushed({ heads, flushes }) {
    const played = heads.map(([id, frames]) => [id, this.ms(frames)]);
    for (const resolve of this.flushing.splice(0, flushes)) resolve(played);
  }

  keep({ frame, samples }) {
    this.recording.startedAt ??= this.timeOf(frame);
    this.recording.blocks.push(samples);
  }

  ms(frames) {
    return (frames / (this.context?.sampleRate ?? WIRE_HZ)) * 1000;
  }

  /** Page time at which this frame of the context leaves the speakers, the output's own delay included. */
  timeOf(frame) {
    if (!this.context) return performance.now();
    const { contextTime, performanceTime } = this.context.getOutputTimestamp();
    if (performanceTime > 0) return performanceTime + (frame / this.context.sampleRate - contextTime) * 1000;
    return performance.now() + (frame / this.context.sampleRate - this.context.currentTime) * 1000 + this.delayMs;
  }

  /** From the page to the air, as far as the browser knows it. */
  get delayMs() {
    return (this.context?.outputLatency || this.context?.baseLatency || 0) * 1000;
  }
}

function newContext() {
  try {
    return new AudioContext({ sampleRate: WIRE_HZ, latencyHint: "interactive" });
  } catch {
    return new AudioContext({ latencyHint: "interactive" });
  }
}
