/**
 * The microphone: asks for it, runs the capture worklet, says when each chunk was spoken.
 *
 * Knows: getUserMedia and its audio context. Does not know: the socket, the conversation.
 */

import { FrameClock } from "./clocks.js";
import { NOT_SECURE, UNPLUGGED, microphoneProblem } from "./problems.js";
import { WIRE_HZ } from "./pcm.js";

const WANTED = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };

export class Microphone {
  /**
   * @param onChunk  ({pcm, durationMs, capturedAt, level}): `capturedAt` is page time of the chunk's last sample
   * @param onLost   (problem): the device went away by itself
   */
  constructor(onChunk, onLost) {
    this.onChunk = onChunk;
    this.onLost = onLost;
    this.stream = null;
    this.context = null;
  }

  get on() {
    return this.context !== null;
  }

  /** Throws a problem ({title, advice}) when there is no microphone to be had. */
  async start() {
    if (!isSecureContext) throw NOT_SECURE;
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({ audio: WANTED });
      await this.listen();
    } catch (error) {
      await this.stop();
      throw microphoneProblem(error);
    }
  }

  async listen() {
    const source = this.openContext();
    await Promise.all(["resampler.js", "capture-worklet.js"].map((file) => this.context.audioWorklet.addModule(new URL(file, import.meta.url))));
    const options = { numberOfInputs: 1, numberOfOutputs: 1, channelCount: 1, channelCountMode: "explicit" };
    const node = new AudioWorkletNode(this.context, "capture", options);
    const clock = new FrameClock(this.context.sampleRate);
    node.port.onmessage = ({ data }) => this.deliver(data, clock);
    source.connect(node).connect(this.context.destination); // silent: it only keeps the node running
    const [track] = this.stream.getAudioTracks();
    track.onended = () => this.stop().then(() => this.onLost(UNPLUGGED));
    await this.context.resume();
  }

  /** At 24 kHz where the browser converts the microphone itself, else at the device's own rate. */
  openContext() {
    try {
      this.context = new AudioContext({ sampleRate: WIRE_HZ, latencyHint: "interactive" });
      return this.context.createMediaStreamSource(this.stream);
    } catch {
      this.context?.close();
      this.context = new AudioContext({ latencyHint: "interactive" });
      return this.context.createMediaStreamSource(this.stream);
    }
  }

  deliver({ pcm, nowFrame, endFrame, level }, clock) {
    if (!this.on) return;
    clock.observe(nowFrame, performance.now());
    const capturedAt = clock.timeOf(endFrame) - this.latencyMs;
    this.onChunk({ pcm, durationMs: pcm.byteLength / 2 / (WIRE_HZ / 1000), capturedAt, level });
  }

  /** What the device says about the way from the air to the page; 0 where it says nothing. */
  get latencyMs() {
    return (this.stream?.getAudioTracks()[0]?.getSettings().latency ?? 0) * 1000;
  }

  get description() {
    const track = this.stream?.getAudioTracks()[0];
    return track && { label: track.label, rateHz: this.context?.sampleRate, ...track.getSettings() };
  }

  async stop() {
    const { stream, context } = this;
    this.stream = this.context = null;
    for (const track of stream?.getTracks() ?? []) {
      track.onended = null;
      track.stop();
    }
    if (context && context.state !== "closed") await context.close();
  }
}
