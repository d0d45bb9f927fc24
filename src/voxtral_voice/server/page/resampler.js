/**
 * Band-limited change of sample rate for a stream (windowed sinc, Blackman).
 *
 * Knows: numbers. Does not know: audio devices, worklets.
 * Used by both threads: imported on the main thread, and put on `globalThis` for the audio thread, where not every
 * browser can import.
 */

const ZERO_CROSSINGS = 16;
const STEPS_PER_SAMPLE = 256;
const PASSBAND = 0.92; // of the lower Nyquist frequency; the rest is the filter's slope

export class Resampler {
  constructor(fromHz, toHz) {
    this.step = fromHz / toHz;
    const cutoff = Math.min(1, toHz / fromHz) * PASSBAND;
    this.half = Math.ceil(ZERO_CROSSINGS / cutoff);
    this.kernel = sincTable(cutoff, this.half);
    this.history = new Float32Array(2 * this.half); // silence before the stream
    this.position = this.half; // of the next output sample, in `history`
  }

  /** The output samples that this input completes. Runs `half` input samples behind. */
  push(input) {
    const samples = new Float32Array(this.history.length + input.length);
    samples.set(this.history);
    samples.set(input, this.history.length);
    const output = [];
    while (this.position + this.half < samples.length) {
      output.push(this.sampleAt(samples, this.position));
      this.position += this.step;
    }
    const keepFrom = Math.min(Math.floor(this.position) - this.half, samples.length);
    this.history = samples.slice(keepFrom);
    this.position -= keepFrom;
    return Float32Array.from(output);
  }

  sampleAt(samples, position) {
    let sum = 0;
    const last = Math.floor(position) + this.half;
    for (let i = Math.floor(position) - this.half + 1; i <= last; i++) {
      const at = Math.abs(position - i) * STEPS_PER_SAMPLE;
      const left = at | 0;
      const tap = this.kernel[left] + (at - left) * (this.kernel[left + 1] - this.kernel[left]);
      sum += samples[i] * tap;
    }
    return sum;
  }
}

function sincTable(cutoff, half) {
  const table = new Float32Array(half * STEPS_PER_SAMPLE + 2); // zero from the window's edge on
  for (let i = 0; i < half * STEPS_PER_SAMPLE; i++) {
    const x = i / STEPS_PER_SAMPLE;
    const sinc = x === 0 ? 1 : Math.sin(Math.PI * cutoff * x) / (Math.PI * cutoff * x);
    const phase = (Math.PI * x) / half;
    table[i] = cutoff * sinc * (0.42 + 0.5 * Math.cos(phase) + 0.08 * Math.cos(2 * phase));
  }
  return table;
}

globalThis.Resampler = Resampler;
