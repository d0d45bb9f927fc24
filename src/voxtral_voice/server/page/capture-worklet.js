/**
 * Audio thread, inwards: the microphone as 20 ms chunks of 24 kHz PCM16.
 *
 * Knows: blocks of samples. Does not know: the socket, wall time.
 * Posts {pcm: ArrayBuffer, endFrame, nowFrame, level}: `endFrame` is the context frame behind the chunk's last sample,
 * `nowFrame` the one behind the block in hand, `level` the chunk's RMS (0..1).
 */

const WIRE_HZ = 24000;
const CHUNK = 480;

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.resampler = sampleRate === WIRE_HZ ? null : new globalThis.Resampler(sampleRate, WIRE_HZ);
    this.chunk = new Int16Array(CHUNK);
    this.filled = 0;
    this.energy = 0;
  }

  process(inputs) {
    const block = inputs[0][0];
    if (!block) return true;
    const samples = this.resampler ? this.resampler.push(block) : block;
    const nowFrame = currentFrame + block.length;
    for (let i = 0; i < samples.length; i++) {
      this.add(samples[i]);
      if (this.filled === CHUNK) {
        this.post(nowFrame, nowFrame - (samples.length - 1 - i) * (sampleRate / WIRE_HZ));
      }
    }
    return true;
  }

  add(sample) {
    const clipped = Math.max(-1, Math.min(1, sample));
    this.energy += clipped * clipped;
    this.chunk[this.filled++] = Math.round(clipped * 32767);
  }

  post(nowFrame, endFrame) {
    const pcm = this.chunk.slice().buffer;
    const level = Math.sqrt(this.energy / CHUNK);
    this.port.postMessage({ pcm, nowFrame, endFrame, level }, [pcm]);
    this.filled = 0;
    this.energy = 0;
  }
}

registerProcessor("capture", Capture);
